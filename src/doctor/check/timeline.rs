//! Check `timeline`.

use super::*;
use crate::collector::control;
use crate::pg::lsn::Timeline;

/// Each standby is on the cluster's timeline.
pub static CHECK: Check = Check {
    id: "timeline",
    severity: Severity::Error,
    title: "each standby is on the cluster's timeline",
    seen: "Each standby's timeline and position against the fork of the newest one, and its timeline against the primary's.",
    why: "It receives nothing that was written since the failover, and holds WAL that the cluster does not have, or may not know where to go on.",
    fix: "Point primary_conninfo at the new primary where it could follow; else pg_rewind against the primary, or a new base backup.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let lineage = &patient.verdicts(node).lineage;
        let address = patient.primary().and_then(|primary| patient.evidence.layout.members[primary].address.as_deref());
        let (host, port) = address.and_then(|address| address.rsplit_once(':')).unwrap_or(("<primary>", "5432"));
        let rewind = || format!("stop it, pg_rewind --source-server='host={host} port={port} user=postgres dbname=postgres' --target-pgdata=<its data directory> -R, and start it; without checksums or wal_log_hints: pg_basebackup -R");
        let fix = || patient.words(node, rewind());
        let primarys = patient.primary().and_then(|primary| patient.recovery(primary)?.timeline);
        if let Some((own, primarys)) = own_timeline(patient, node).zip(primarys).filter(|(own, primarys)| own > primarys) {
            let seen = format!("it has WAL of timeline {}, and the primary is on {}", own.0, primarys.0);
            return Some(Judged::Ill(seen, fix()));
        }
        match (lineage.diverged, lineage.behind) {
            (Some(Verdict::Yes), _) => Some(Judged::Ill("it has WAL that the primary's timeline does not have".to_owned(), fix())),
            (_, Verdict::Yes) if lineage.can_follow == Some(Verdict::Yes) => {
                let follow = patient.primary().and_then(|primary| patient.follow(node, primary));
                let words = || patient.words(node, "point primary_conninfo at the new primary, and reload (12: restart)");
                let mut fix = follow.unwrap_or_else(words);
                if patient.word(node, "recovery_target_timeline") != Some("latest") {
                    fix.extend(patient.set_and_restart(node, "recovery_target_timeline", "latest"));
                }
                Some(Judged::Ill("it is on an older timeline; it could follow".to_owned(), fix))
            }
            (_, Verdict::Yes) => Some(Judged::Ill("it is on an older timeline than the cluster's".to_owned(), fix())),
            (_, Verdict::No) => Some(Judged::Well),
            (_, Verdict::Unknown) => None,
        }
    })
}

/// A timeline that its control file proves that it was on.
fn own_timeline(patient: &Patient<'_>, node: usize) -> Option<Timeline> {
    let control = patient.slow(node, &control::Collector, &patient.snapshot(node).control)?;
    Some(
        control
            .min_recovery_end_timeline
            .map_or(control.checkpoint_timeline, |end| end.max(control.checkpoint_timeline)),
    )
}
