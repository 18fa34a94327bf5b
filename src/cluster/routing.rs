//! Whether a load balancer may send clients to a node: for writes, for reads, to a synchronous standby. What is not known is a no.
//!
//! One pgvigil beside each server answers for that server. A primary is therefore not closed because another node is not reached;
//! it is closed once another node of its system is seen writing, and for good once a newer timeline was seen or told of. What nobody
//! could see, such as a primary on the other side of a cut, only a fence keeps from writing.

use std::fmt;
use std::time::Duration;

use super::assess::{Evidence, NodeAssessment, Verdict};
use super::lag::{At, Unknown};
use super::observers::Role;
use super::source::RecoverySource;
use crate::config::duration;
use crate::pg::failure::NodeState;
use crate::pg::lsn::Timeline;

/// What a load balancer asks of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// May it get writes?
    Primary,
    /// Is it a standby that may get reads?
    Replica,
    /// May it get reads, as whatever it is?
    ReadOnly,
    /// Is it a standby that commits wait for?
    Sync,
    /// Is it a standby that no commit waits for?
    Async,
}

impl Question {
    /// The question of this name, as it stands at the end of the path.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "primary" => Self::Primary,
            "replica" => Self::Replica,
            "read-only" => Self::ReadOnly,
            "sync" => Self::Sync,
            "async" => Self::Async,
            _ => return None,
        })
    }
}

/// How far behind in replay a standby may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many bytes of WAL.
    Bytes(u64),
    /// So long.
    Time(Duration),
}

/// PostgreSQL's units of memory, in bytes.
const UNITS: [(&str, u64); 5] = [("kB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("TB", 1 << 40), ("B", 1)];

impl Limit {
    /// Reads `10MB` in PostgreSQL's units of memory, or `5s`. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bytes = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
        let limit = match bytes {
            Some((number, unit)) if !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()) => {
                number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit)).map(Self::Bytes)
            }
            _ => duration::parse(text).ok().map(Self::Time),
        };
        limit.ok_or_else(|| {
            format!("lag={text:?} is neither bytes such as 10MB (B, kB, MB, GB, TB) nor a time such as 5s")
        })
    }
}

/// Why clients must not be sent to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Our own loop was late, or not every node was heard since it began.
    Blind,
    /// There is no fresh reading.
    NotRead(NodeState),
    /// Its system identifier is another one than the cluster's.
    Foreign,
    /// Its system identifier is not known yet, or the cluster's.
    SystemUnknown,
    /// It is the same server as this node.
    SameServer(String),
    /// It is a standby.
    InRecovery,
    /// It is no standby.
    Writes,
    /// It does not tell its timeline.
    TimelineUnknown,
    /// It is on the first of these, and the second was seen.
    OldTimeline(Timeline, Timeline),
    /// It is on the first of these, and an observer told of the second.
    OldTimelineTold(Timeline, Timeline),
    /// This node writes too.
    AlsoWrites(String),
    /// This node writes too, as this observer sees.
    AlsoWritesTold(String, String),
    /// It cannot be said whether it is on the newest timeline.
    LineageUnknown,
    /// It is behind the newest timeline, or has diverged from it.
    NotOnNewest,
    /// Nothing feeds it while the primary goes on.
    NotFed,
    /// It cannot be said what feeds it.
    FeedUnknown,
    /// A limit is asked for, and its lag is not known.
    LagUnknown(Unknown),
    /// It is behind by more than the limit.
    Behind(String),
    /// The primary does not tell what this standby is to it.
    SyncUnknown,
    /// The primary has it in this state.
    SyncState(String),
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blind => f.write_str("not known: pgvigil was late, or has not heard of every node since it began"),
            Self::NotRead(state) => write!(f, "not read of late: its state is {}", state.as_str()),
            Self::Foreign => f.write_str("another system identifier than the cluster's"),
            Self::SystemUnknown => f.write_str("its system identifier, or the cluster's, is not known yet"),
            Self::SameServer(other) => write!(f, "the same server as {other}: correct the dsn of one"),
            Self::InRecovery => f.write_str("in recovery"),
            Self::Writes => f.write_str("not in recovery"),
            Self::TimelineUnknown => f.write_str("its timeline is not known"),
            Self::OldTimeline(own, newest) => write!(f, "on timeline {}, and timeline {} was seen", own.0, newest.0),
            Self::OldTimelineTold(own, told) => {
                write!(f, "on timeline {}, and an observer told of timeline {}", own.0, told.0)
            }
            Self::AlsoWrites(other) => write!(f, "split brain: {other} writes too"),
            Self::AlsoWritesTold(other, observer) => {
                write!(f, "split brain: {other} writes too, as observer {observer} sees")
            }
            Self::LineageUnknown => f.write_str("not known whether it is on the newest timeline"),
            Self::NotOnNewest => f.write_str("not on the newest timeline"),
            Self::NotFed => f.write_str("nothing feeds it"),
            Self::FeedUnknown => f.write_str("not known whether anything feeds it"),
            Self::LagUnknown(why) => write!(f, "its lag is not known: {}", why.as_str()),
            Self::Behind(lag) => write!(f, "behind by {lag}"),
            Self::SyncUnknown => f.write_str("the primary does not tell its sync_state"),
            Self::SyncState(state) => write!(f, "its sync_state is {state}"),
        }
    }
}

impl Evidence<'_> {
    /// Whether clients may be sent to node number `index`. A limit says nothing of a primary.
    pub fn route(&self, index: usize, question: Question, limit: Option<Limit>) -> Result<(), Closed> {
        self.known(index)?;
        let writes = self.is_writing(index);
        match question {
            Question::Primary if !writes => Err(Closed::InRecovery),
            Question::Primary => self.may_write(index),
            Question::ReadOnly if writes => self.may_write(index),
            _ if writes => Err(Closed::Writes),
            Question::Replica | Question::ReadOnly => self.may_read(index, limit),
            Question::Sync | Question::Async => {
                self.may_read(index, limit)?;
                let state = self.sync_state(index).ok_or(Closed::SyncUnknown)?;
                let is_sync = matches!(state, "sync" | "quorum");
                if is_sync == (question == Question::Sync) { Ok(()) } else { Err(Closed::SyncState(state.to_owned())) }
            }
        }
    }

    /// What any question asks for: a fresh reading of a server of this system that counts for itself.
    fn known(&self, index: usize) -> Result<(), Closed> {
        if self.blind {
            return Err(Closed::Blind);
        }
        if !self.is_fresh(index) {
            let window = self.layout.timing.fast_window();
            return Err(Closed::NotRead(self.facts[index].state(self.now, window, self.not_before)));
        }
        if let Some(other) = self.twin_of(index) {
            return Err(Closed::SameServer(self.layout.members[other].name.clone()));
        }
        match self.foreign_system(index) {
            Verdict::No => Ok(()),
            Verdict::Yes => Err(Closed::Foreign),
            Verdict::Unknown => Err(Closed::SystemUnknown),
        }
    }

    /// Alone on the newest timeline that we saw or were told of, as far as we and the other observers see.
    fn may_write(&self, index: usize) -> Result<(), Closed> {
        let own = self.written_timeline(index).ok_or(Closed::TimelineUnknown)?;
        self.on_newest(own)?;
        let others = (0..self.facts.len()).filter(|other| *other != index && self.twin_of(*other) != Some(index));
        for other in others {
            let name = || self.layout.members[other].name.clone();
            if self.is_writing(other) && !self.is_foreign(other) {
                return Err(Closed::AlsoWrites(name()));
            }
            if let Some(observer) = self.told_writing(other) {
                return Err(Closed::AlsoWritesTold(name(), observer));
            }
        }
        Ok(())
    }

    fn on_newest(&self, own: Timeline) -> Result<(), Closed> {
        let newest = self.newest_timeline().ok_or(Closed::TimelineUnknown)?;
        if own < newest {
            return Err(Closed::OldTimeline(own, newest));
        }
        match self.memory.told_timeline {
            Some(told) if own < told => Err(Closed::OldTimelineTold(own, told)),
            _ => Ok(()),
        }
    }

    /// An observer that sees node number `index` write, unless we have seen it in recovery since.
    fn told_writing(&self, index: usize) -> Option<String> {
        let recovers = self.is_fresh(index).then_some(self.facts[index].read).flatten();
        let mut told = self.layout.observers.iter().map(|observer| (observer, self.circle.get(observer)));
        let writing = told.find(|(_, told)| {
            self.sight(*told, index).is_ok_and(|sight| {
                let newer = recovers.is_some_and(|read| Some(read.mono) >= sight.seen);
                sight.state == NodeState::Up && sight.role == Role::Primary && !newer
            })
        });
        writing.map(|(observer, _)| observer.clone())
    }

    /// A standby on the newest timeline that is fed, or that nobody can feed because no primary is seen; not behind by more than asked.
    fn may_read(&self, index: usize, limit: Option<Limit>) -> Result<(), Closed> {
        let assessment = self.assess(At::Now);
        let Some(node) = assessment.nodes.get(index) else { return Err(Closed::Blind) };
        match (node.lineage.behind, node.lineage.diverged) {
            (Verdict::Yes, _) | (_, Some(Verdict::Yes)) => return Err(Closed::NotOnNewest),
            (Verdict::Unknown, _) => return Err(Closed::LineageUnknown),
            (Verdict::No, _) => {}
        }
        let timeline = self.memory.node(&node.name).timeline.ok_or(Closed::TimelineUnknown)?;
        self.on_newest(timeline)?;
        match node.source {
            RecoverySource::Streaming | RecoverySource::Archive => {}
            _ if assessment.primaries == 0 => {}
            RecoverySource::None | RecoverySource::NotInRecovery => return Err(Closed::NotFed),
            RecoverySource::Unknown => return Err(Closed::FeedUnknown),
        }
        limit.map_or(Ok(()), |limit| within(node, limit))
    }

    /// `sync_state` of the one walsender by which the only primary feeds node number `index`, while that streams.
    fn sync_state(&self, index: usize) -> Option<&str> {
        let primary = self.fresh_primary()?;
        self.may_write(primary).ok()?;
        let mut rows = self.walsenders(primary).filter(|(_, member)| *member == Some(index));
        let (walsender, _) = rows.next().filter(|(walsender, _)| walsender.state == "streaming")?;
        let state = walsender.sync_state.as_deref().filter(|_| rows.next().is_none())?;
        ["sync", "quorum", "async", "potential"].contains(&state).then_some(state)
    }
}

/// Whether a standby is known to be behind by no more than `limit` in replay.
fn within(node: &NodeAssessment, limit: Limit) -> Result<(), Closed> {
    let lag = node.lag.ok_or(Closed::LagUnknown(Unknown::Position))?.replayed;
    let seconds = lag.seconds.map_err(Closed::LagUnknown)?;
    match limit {
        Limit::Time(limit) if seconds <= limit.as_secs_f64() => Ok(()),
        Limit::Time(_) => Err(Closed::Behind(format!("{seconds:.1} s"))),
        Limit::Bytes(limit) => match lag.bytes {
            Some(bytes) if bytes <= limit => Ok(()),
            Some(bytes) => Err(Closed::Behind(format!("{bytes} bytes"))),
            None => Err(Closed::LagUnknown(Unknown::PrimaryUnseen)),
        },
    }
}
