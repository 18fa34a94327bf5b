//! The families that a cluster adds up to, beside those of the collectors.

use crate::metric::family::{Family, Kind, Observers, Unit};

const NODE: &[&str] = &["cluster", "node"];
const NODE_STATE: &[&str] = &["cluster", "node", "state"];
const NODE_NAME: &[&str] = &["cluster", "node", "name"];
const NODE_STAGE: &[&str] = &["cluster", "node", "stage"];
const STANDBY: &[&str] = &["cluster", "standby"];
const CLUSTER: &[&str] = &["cluster"];

const fn gauge(
    name: &'static str,
    unit: Unit,
    labels: &'static [&'static str],
    observers: Observers,
    help: &'static str,
) -> Family {
    Family { name, help, kind: Kind::Gauge, unit, labels, observers }
}

const fn histogram(name: &'static str, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, help, kind: Kind::Histogram, unit, labels, observers: Observers::Min }
}

pub(crate) static NODE_UP: Family = gauge(
    "pgvigil_node_up",
    Unit::None,
    NODE,
    Observers::Max,
    "1 if a fresh reading of the node exists, else 0; node_state says why there is none.",
);
pub(crate) static NODE_STATE_FAMILY: Family = gauge(
    "pgvigil_node_state",
    Unit::None,
    NODE_STATE,
    Observers::Max,
    "The verdict on the node, 1 for exactly one state; unknown is neither up nor down.",
);
pub(crate) static NODE_CONNECT_FAILURE: Family = gauge(
    "pgvigil_node_connect_failure",
    Unit::None,
    &["cluster", "node", "reason"],
    Observers::Own,
    "1 for the reason of the last failure to connect, while it lasts.",
);
pub(crate) static NODE_LOGIN_OK: Family = gauge(
    "pgvigil_node_login_ok",
    Unit::None,
    NODE,
    Observers::Max,
    "1 if the newest new login succeeded, 0 if not; absent while it is not tried or our own role's connection limit refused it.",
);
pub(crate) static NODE_LAST_OBSERVATION: Family = gauge(
    "pgvigil_node_last_observation_timestamp_seconds",
    Unit::Seconds,
    NODE,
    Observers::Max,
    "When the last fast reading of the node was complete, by the observer's clock.",
);
pub(crate) static NODE_LAST_PRIMARY: Family = gauge(
    "pgvigil_node_last_primary",
    Unit::None,
    NODE,
    Observers::Max,
    "1 for the node that is, or was last, seen as the primary of the newest timeline, else 0; kept over restarts of the observer.",
);
pub(crate) static NODE_WITNESSED: Family = gauge(
    "pgvigil_node_witnessed",
    Unit::None,
    NODE,
    Observers::Max,
    "1 if the node is not up and a standby that it feeds got a message from it since it was lost: it lives, and only the observer \
     cannot reach it; else 0, also while it is up.",
);
pub(crate) static STANDBY_LAG_SECONDS: Family = gauge(
    "pgvigil_standby_lag_seconds",
    Unit::Seconds,
    NODE_STAGE,
    Observers::Min,
    "Age of the first WAL position of the primary beyond what the standby has received or replayed; absent when unknown.",
);
pub(crate) static STANDBY_LAG_BYTES: Family = gauge(
    "pgvigil_standby_lag_bytes",
    Unit::Bytes,
    NODE_STAGE,
    Observers::Min,
    "WAL from what the standby has received or replayed to the primary's flushed position; absent when unknown.",
);
pub(crate) static STANDBY_LAG_KNOWN: Family = gauge(
    "pgvigil_standby_lag_known",
    Unit::None,
    NODE_STAGE,
    Observers::Max,
    "1 if the standby's lag in seconds is known, else 0 and the lag is absent.",
);
pub(crate) static STANDBY_LAG_SAMPLED_SECONDS: Family = histogram(
    "pgvigil_standby_lag_sampled_seconds",
    Unit::Seconds,
    NODE_STAGE,
    "standby_lag_seconds at each tick of the observer's clock that knew it.",
);
pub(crate) static STANDBY_LAG_SAMPLED_BYTES: Family = histogram(
    "pgvigil_standby_lag_sampled_bytes",
    Unit::Bytes,
    NODE_STAGE,
    "standby_lag_bytes at each tick of the observer's clock that knew it.",
);
pub(crate) static STANDBY_LAG_TICKS: Family = Family {
    name: "pgvigil_standby_lag_ticks_total",
    help: "Ticks of the observer's clock, by whether the standby's lag was known: blindness costs budget.",
    kind: Kind::Counter,
    unit: Unit::None,
    labels: &["cluster", "node", "stage", "known"],
    observers: Observers::Max,
};
pub(crate) static STANDBY_APPLY_DELAY: Family = gauge(
    "pgvigil_standby_apply_delay_seconds",
    Unit::Seconds,
    NODE,
    Observers::Max,
    "recovery_min_apply_delay of the standby: so much replay lag is wanted.",
);
pub(crate) static STANDBY_DIVERGED: Family = gauge(
    "pgvigil_standby_diverged",
    Unit::None,
    NODE_STATE,
    Observers::Max,
    "Whether the node has WAL beyond the fork to the primary's timeline: it must be rewound or made anew.",
);
pub(crate) static STANDBY_NEEDS_REBUILD: Family = gauge(
    "pgvigil_standby_needs_rebuild",
    Unit::None,
    NODE_STATE,
    Observers::Max,
    "Whether the WAL that a standby needs next is gone from the primary and from the node that fed it last, and nothing else can bring \
     it; unknown while it has a restore_command that finds none.",
);
pub(crate) static RECOVERY_SOURCE: Family = gauge(
    "pgvigil_recovery_source",
    Unit::None,
    NODE_STATE,
    Observers::Max,
    "Where a standby gets its WAL from, 1 for the present state; archive: it does not stream and turns to restore_command, whether that \
     brings any or not; none: it does neither, as while a walreceiver cannot connect.",
);
pub(crate) static NODE_FOREIGN_SYSTEM: Family = gauge(
    "pgvigil_node_foreign_system",
    Unit::None,
    NODE_STATE,
    Observers::Max,
    "Whether the node's system identifier is another one than the cluster's: its address leads to a server made anew or to a stranger.",
);
pub(crate) static NODE_TIMELINE_BEHIND: Family = gauge(
    "pgvigil_node_timeline_behind",
    Unit::None,
    NODE_STATE,
    Observers::Max,
    "Whether the node writes or receives an older timeline than cluster_timeline, or stands still on one; no proof is unknown.",
);
pub(crate) static STANDBY_CAN_FOLLOW: Family = gauge(
    "pgvigil_standby_can_follow",
    Unit::None,
    NODE_STATE,
    Observers::Min,
    "Whether the node can follow the newest timeline as it is; no: it replayed or wrote WAL beyond the fork and must be rewound or \
     made anew; unknown too while it has only received such WAL.",
);
pub(crate) static STANDBY_PROMOTABLE: Family = gauge(
    "pgvigil_standby_promotable",
    Unit::None,
    NODE_STATE,
    Observers::Min,
    "Whether the standby could take over now; standby_promotable_block says what stands in the way. Rules ask for state yes.",
);
pub(crate) static STANDBY_PROMOTABLE_BLOCK: Family = gauge(
    "pgvigil_standby_promotable_block",
    Unit::None,
    &["cluster", "node", "reason"],
    Observers::Max,
    "1 for each reason that stands in the way of a promotion of the standby, else 0; the API says what each means.",
);
pub(crate) static FAILOVER_CANDIDATE: Family = gauge(
    "pgvigil_failover_candidate",
    Unit::None,
    NODE,
    Observers::Min,
    "1 for the standby that a failover now would choose, else 0: none while no standby is promotable or several nodes write.",
);
pub(crate) static WALSENDER_LAG_SAMPLED: Family = histogram(
    "pgvigil_walsender_lag_sampled_seconds",
    Unit::Seconds,
    &["cluster", "node", "standby", "stage"],
    "write_lag, flush_lag and replay_lag of pg_stat_replication at each fast reading that was not NULL.",
);
pub(crate) static WALSENDER_REPLY_AGE: Family = gauge(
    "pgvigil_walsender_reply_age_seconds",
    Unit::Seconds,
    &["cluster", "node", "standby"],
    Observers::Min,
    "Time on the observer's clock since a report of the standby was last seen to be new; absent until one was.",
);
pub(crate) static WALSENDER_REPLY_AGE_RATIO: Family = gauge(
    "pgvigil_walsender_reply_age_ratio",
    Unit::None,
    &["cluster", "node", "standby"],
    Observers::Min,
    "walsender_reply_age_seconds as a part of this node's wal_sender_timeout: 1 is where it gives the standby up. Absent without a \
     timeout.",
);
pub(crate) static WALSENDER_RECONNECTS: Family = Family {
    name: "pgvigil_walsender_reconnects_total",
    help: "New connections of a standby to this node after its first one, as far as readings saw them; 0 for one that is expected and \
           was not seen yet.",
    kind: Kind::Counter,
    unit: Unit::None,
    labels: &["cluster", "node", "standby"],
    observers: Observers::Max,
};
pub(crate) static WAL_RECEIVER_STARTS: Family = Family {
    name: "pgvigil_wal_receiver_starts_total",
    help: "Walreceivers that were seen to be new on a standby; the one that was there when the observer came does not count.",
    kind: Kind::Counter,
    unit: Unit::None,
    labels: NODE,
    observers: Observers::Max,
};
pub(crate) static STANDBY_UPSTREAM: Family = gauge(
    "pgvigil_standby_upstream",
    Unit::None,
    &["cluster", "node", "upstream"],
    Observers::Max,
    "Who feeds a standby, 1 for exactly one: another node, other for a server that is no node of the cluster, none for nobody, or \
     unknown.",
);
pub(crate) static SYNC_QUORUM: Family = gauge(
    "pgvigil_sync_quorum",
    Unit::None,
    NODE_STATE,
    Observers::Max,
    "Whether a primary has as many standbys as synchronous_standby_names makes commits wait for; unsatisfied: commits hang. The \
     setting is as old as the slow reading; a silent standby counts until the server drops it.",
);
pub(crate) static SYNC_STANDBYS_SPARE: Family = gauge(
    "pgvigil_sync_standbys_spare",
    Unit::None,
    NODE,
    Observers::Min,
    "How many of the standbys that a primary counts for synchronous commits may go before commits hang, below 0 when they do; \
     absent when off or unknown.",
);
pub(crate) static STANDBY_SETTING_TOO_LOW: Family = gauge(
    "pgvigil_standby_setting_too_low",
    Unit::None,
    NODE_NAME,
    Observers::Max,
    "1 if a setting of the standby is lower than the primary's where it must not be, or replay stops, else 0; absent when unknown.",
);
pub(crate) static SETTING_DRIFT: Family = gauge(
    "pgvigil_setting_drift",
    Unit::None,
    NODE_NAME,
    Observers::Max,
    "1 if a setting of the standby differs from the primary's where a failover would want it equal, else 0; absent when unknown.",
);
pub(crate) static REPLAY_BLOCKED_BY_SETTINGS: Family = gauge(
    "pgvigil_replay_blocked_by_settings",
    Unit::None,
    NODE_STATE,
    Observers::Max,
    "Whether replay is paused on a standby that has a setting too low: a resume shuts it down; raise the setting and restart. Once \
     yes it stays so while that server is paused.",
);
pub(crate) static SLOT_EXPECTED: Family = gauge(
    "pgvigil_slot_expected",
    Unit::None,
    &["cluster", "node", "slot"],
    Observers::Max,
    "1 if the slot is the one of a node in the configuration, 0 if pgvigil knows nobody whom it is for.",
);
pub(crate) static SLOT_TIME_TO_LOST: Family = gauge(
    "pgvigil_slot_time_to_lost_seconds",
    Unit::Seconds,
    &["cluster", "node", "slot"],
    Observers::Min,
    "Time until a slot of the primary is in danger of being lost if its consumer stands still: slot_safe_bytes over the mean rate of \
     WAL in the last two minutes; 0 when it is. Absent without max_slot_wal_keep_size and while nothing is written.",
);
pub(crate) static ARCHIVE_LAG_BYTES: Family = gauge(
    "pgvigil_archive_lag_bytes",
    Unit::Bytes,
    NODE,
    Observers::Min,
    "WAL of the node that is not in its archive, as the server tells it: from the oldest segment that waits to what a primary has \
     flushed, or a standby received. Absent where no archiver runs, the command keeps nothing, or nothing was archived yet.",
);
pub(crate) static ARCHIVE_LAG_SECONDS: Family = gauge(
    "pgvigil_archive_lag_seconds",
    Unit::Seconds,
    NODE,
    Observers::Min,
    "Age of the oldest WAL of the node that is not in its archive, the segment that is being filled included: what is lost if the \
     host burns. It grows on an idle primary until the segment is switched, and is 0 if nothing was written since.",
);
pub(crate) static STANDBY_EXPECTED: Family = gauge(
    "pgvigil_standby_expected",
    Unit::None,
    STANDBY,
    Observers::Max,
    "1 if the configuration expects this standby, 0 for one that is seen but not configured.",
);
pub(crate) static STANDBY_CONNECTED: Family = gauge(
    "pgvigil_standby_connected",
    Unit::None,
    STANDBY,
    Observers::Max,
    "1 if a walsender that streams to the standby, or its own live stream, is seen, else 0.",
);
pub(crate) static STANDBY_NAME_CONFLICT: Family = gauge(
    "pgvigil_standby_name_conflict",
    Unit::None,
    STANDBY,
    Observers::Max,
    "1 if several walsenders of one node claim the same standby name, else 0.",
);
pub(crate) static CLUSTER_PRIMARIES: Family = gauge(
    "pgvigil_cluster_primaries",
    Unit::None,
    CLUSTER,
    Observers::Max,
    "Number of nodes that are seen outside recovery.",
);
pub(crate) static CLUSTER_SPLIT_BRAIN: Family = gauge(
    "pgvigil_cluster_split_brain",
    Unit::None,
    &["cluster", "state"],
    Observers::Max,
    "Whether several nodes of one system identifier write; unknown while any node is not seen.",
);
pub(crate) static CLUSTER_TIMELINE: Family = gauge(
    "pgvigil_cluster_timeline",
    Unit::None,
    CLUSTER,
    Observers::Max,
    "The newest timeline that any node of the cluster was seen on.",
);
pub(crate) static TIMELINE_SWITCHES: Family = Family {
    name: "pgvigil_timeline_switches_total",
    help: "How many new timelines the cluster began while the observer looked; kept over its restarts.",
    kind: Kind::Counter,
    unit: Unit::None,
    labels: CLUSTER,
    observers: Observers::Max,
};
pub(crate) static TIMELINE_FORK: Family = gauge(
    "pgvigil_timeline_fork_position_bytes",
    Unit::Bytes,
    CLUSTER,
    Observers::Max,
    "WAL position at which the primary's timeline left the one before it; absent on the first timeline and where it is not known.",
);
pub(crate) static CLUSTER_FAILOVER_LOSS_BYTES: Family = gauge(
    "pgvigil_cluster_failover_loss_bytes",
    Unit::Bytes,
    &["cluster", "bound"],
    Observers::Max,
    "WAL that a failover to failover_candidate now would lose: seen on the primary, or estimated by its peak rate since it was last \
     seen; absent without a candidate.",
);
pub(crate) static CLUSTER_FAILOVER_LOSS_SECONDS: Family = gauge(
    "pgvigil_cluster_failover_loss_seconds",
    Unit::Seconds,
    &["cluster", "bound"],
    Observers::Max,
    "Time in which the WAL was written that a failover now would lose.",
);
pub(crate) static LAG_HISTORY_POINTS: Family = gauge(
    "pgvigil_lag_history_points",
    Unit::None,
    CLUSTER,
    Observers::Own,
    "Points of the primary's position that lag is measured with.",
);
pub(crate) static OBSERVER_AGREEMENT: Family = gauge(
    "pgvigil_observer_agreement",
    Unit::None,
    &["cluster", "node", "observer", "state"],
    Observers::Own,
    "Whether another observer sees the node as we do: up in the same role, or not up. Unknown where one of the two does not know, \
     or by facts that are too old.",
);
pub(crate) static COLLECTOR_SUCCESS: Family = gauge(
    "pgvigil_collector_success",
    Unit::None,
    &["cluster", "node", "collector"],
    Observers::Max,
    "1 if the collector's last reading succeeded and is fresh, else 0.",
);
pub(crate) static COLLECTOR_LAST_SUCCESS: Family = gauge(
    "pgvigil_collector_last_success_timestamp_seconds",
    Unit::Seconds,
    &["cluster", "node", "collector"],
    Observers::Max,
    "When a reading of the collector last succeeded, since the Unix epoch; absent until one did.",
);
pub(crate) static COLLECTOR_DURATION: Family = Family {
    name: "pgvigil_collector_duration_seconds",
    help: "Time from sending a reading to its last row; collector is fast or slow where all collectors of that pace are read together, \
           the collector's name where it is read alone.",
    kind: Kind::Histogram,
    unit: Unit::Seconds,
    labels: &["cluster", "node", "collector"],
    observers: Observers::Own,
};
pub(crate) static COLLECTOR_REST: Family = gauge(
    "pgvigil_collector_rest_seconds",
    Unit::Seconds,
    &["cluster", "node", "collector"],
    Observers::Own,
    "How long a slow collector rests after a reading that cost the server much: so old may its figures be, beside collect_interval; \
     0 for one that is read at each.",
);

/// All of them.
pub static FAMILIES: &[&Family] = &[
    &NODE_UP,
    &NODE_STATE_FAMILY,
    &NODE_CONNECT_FAILURE,
    &NODE_LOGIN_OK,
    &NODE_LAST_OBSERVATION,
    &NODE_LAST_PRIMARY,
    &NODE_WITNESSED,
    &STANDBY_LAG_SECONDS,
    &STANDBY_LAG_BYTES,
    &STANDBY_LAG_KNOWN,
    &STANDBY_LAG_SAMPLED_SECONDS,
    &STANDBY_LAG_SAMPLED_BYTES,
    &STANDBY_LAG_TICKS,
    &STANDBY_APPLY_DELAY,
    &STANDBY_DIVERGED,
    &STANDBY_NEEDS_REBUILD,
    &RECOVERY_SOURCE,
    &NODE_FOREIGN_SYSTEM,
    &NODE_TIMELINE_BEHIND,
    &STANDBY_CAN_FOLLOW,
    &STANDBY_PROMOTABLE,
    &STANDBY_PROMOTABLE_BLOCK,
    &FAILOVER_CANDIDATE,
    &WALSENDER_LAG_SAMPLED,
    &WALSENDER_REPLY_AGE,
    &WALSENDER_REPLY_AGE_RATIO,
    &WALSENDER_RECONNECTS,
    &WAL_RECEIVER_STARTS,
    &STANDBY_UPSTREAM,
    &SYNC_QUORUM,
    &SYNC_STANDBYS_SPARE,
    &STANDBY_SETTING_TOO_LOW,
    &SETTING_DRIFT,
    &REPLAY_BLOCKED_BY_SETTINGS,
    &SLOT_EXPECTED,
    &SLOT_TIME_TO_LOST,
    &ARCHIVE_LAG_BYTES,
    &ARCHIVE_LAG_SECONDS,
    &STANDBY_EXPECTED,
    &STANDBY_CONNECTED,
    &STANDBY_NAME_CONFLICT,
    &CLUSTER_PRIMARIES,
    &CLUSTER_SPLIT_BRAIN,
    &CLUSTER_TIMELINE,
    &TIMELINE_SWITCHES,
    &TIMELINE_FORK,
    &CLUSTER_FAILOVER_LOSS_BYTES,
    &CLUSTER_FAILOVER_LOSS_SECONDS,
    &LAG_HISTORY_POINTS,
    &OBSERVER_AGREEMENT,
    &COLLECTOR_SUCCESS,
    &COLLECTOR_LAST_SUCCESS,
    &COLLECTOR_DURATION,
    &COLLECTOR_REST,
];
