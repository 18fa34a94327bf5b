//! What the checks look at: a cluster as it is known at one moment, and what the doctor alone asked.

use std::net::IpAddr;
use std::time::Duration;

use super::chart::{Chart, Conninfo, Told};
use super::finding::{Answer, Cure, Finding};
use crate::clock::Moment;
use crate::cluster::Cluster;
use crate::cluster::assess::{Assessment, Evidence, NodeAssessment};
use crate::cluster::visible::Visible;
use crate::collector::archive_verdict::ArchiveState;
use crate::collector::settings::{Collector as SettingsCollector, Settings, Value};
use crate::collector::snapshot::{Fact, Snapshot};
use crate::collector::walsenders::Walsender;
use crate::collector::{Collector, recovery::Recovery};
use crate::pg::version::ServerVersion;
use crate::server_log::class::{About, Class};
use crate::server_log::said::ServerLog;

/// A cluster at one moment.
pub struct Patient<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// What its verdicts are made of.
    pub evidence: Evidence<'a>,
    /// The verdicts.
    pub assessment: Assessment,
}

/// What was asked so long ago counts for nothing: `serve` asks each minute.
const TOLD_FOR: Duration = Duration::from_secs(180);

/// What a check says of one node.
pub enum Judged {
    /// All is well.
    Well,
    /// It does not concern this node.
    Skip,
    /// The mistake is made: what was seen, and what mends it.
    Ill(String, Vec<Cure>),
    /// It cannot be said, and why.
    Unclear(String),
}

/// [`Judged::Ill`], if it is.
pub fn ill_if(is_ill: bool, seen: impl FnOnce() -> String, fix: impl FnOnce() -> Vec<Cure>) -> Judged {
    if is_ill { Judged::Ill(seen(), fix()) } else { Judged::Well }
}

const NOT_READ: &str = "what it hangs on was not read: see collector_success, and whether the role has pg_monitor";

impl<'a> Patient<'a> {
    /// The cluster at `now`.
    pub fn new(cluster: &'a Cluster, now: Moment) -> Self {
        Self { cluster, evidence: cluster.evidence(now), assessment: cluster.assess(now) }
    }

    /// The numbers of all nodes.
    pub fn nodes(&self) -> std::ops::Range<usize> {
        0..self.assessment.nodes.len()
    }

    /// The node's name.
    pub fn name(&self, node: usize) -> &str {
        &self.evidence.layout.members[node].name
    }

    /// The verdicts on it.
    pub fn verdicts(&self, node: usize) -> &NodeAssessment {
        &self.assessment.nodes[node]
    }

    /// Its snapshot.
    pub fn snapshot(&self, node: usize) -> &'a Snapshot {
        &self.evidence.facts[node].snapshot
    }

    /// Whether it was read of late.
    pub fn is_up(&self, node: usize) -> bool {
        self.evidence.is_fresh(node)
    }

    /// The primary that is seen writing.
    pub fn primary(&self) -> Option<usize> {
        self.nodes().find(|node| self.verdicts(*node).is_primary && self.is_up(*node) && !self.recovers(*node))
    }

    fn recovers(&self, node: usize) -> bool {
        self.recovery(node).is_some_and(|recovery| recovery.in_recovery)
    }

    /// Nodes that are standbys, or may be: all but those that are seen writing.
    pub fn standbys(&self) -> impl Iterator<Item = usize> {
        self.nodes().filter(|node| {
            let writes = self.is_up(*node) && !self.recovers(*node);
            !writes && self.evidence.twin_of(*node).is_none()
        })
    }

    /// Its positions, if they were read of late.
    pub fn recovery(&self, node: usize) -> Option<&'a Recovery> {
        let fact = self.snapshot(node).recovery.as_ref();
        fact.filter(|_| self.is_up(node)).map(|fact| &fact.value)
    }

    /// A fact of a slow collector, if it stands.
    pub fn slow<T>(&self, node: usize, collector: &dyn Collector, fact: &'a Option<Fact<T>>) -> Option<&'a T> {
        // The verdict on its age is the cluster's.
        self.evidence.slow_fact(node, collector, fact)?;
        fact.as_ref().map(|fact| &fact.value)
    }

    /// Its settings.
    pub fn settings(&self, node: usize) -> Option<&'a Settings> {
        self.slow(node, &SettingsCollector, &self.snapshot(node).settings)
    }

    /// A setting that is a number.
    pub fn number(&self, node: usize, name: &str) -> Option<f64> {
        match self.settings(node)?.known.get(name)?.value {
            Value::Number(number) => Some(number),
            Value::Word(_) => None,
        }
    }

    /// A setting that is a word.
    pub fn word(&self, node: usize, name: &str) -> Option<&'static str> {
        match self.settings(node)?.known.get(name)?.value {
            Value::Word(word) => Some(word),
            Value::Number(_) => None,
        }
    }

    /// What the doctor alone asked of it.
    pub fn told(&self, node: usize) -> Option<&'a Told> {
        let told = self.evidence.facts[node].told.as_ref().filter(|_| self.is_up(node))?;
        let window = TOLD_FOR.max(3 * self.evidence.layout.timing.login_interval);
        (self.evidence.now.mono.since(told.seen.mono) <= window).then_some(&told.value)
    }

    /// How it is set up.
    pub fn chart(&self, node: usize) -> Option<&'a Chart> {
        self.told(node)?.chart.as_ref()
    }

    /// Its `primary_conninfo`.
    pub fn conninfo(&self, node: usize) -> Option<&'a Conninfo> {
        self.chart(node)?.conninfo.as_ref()
    }

    /// Its version.
    pub fn version(&self, node: usize) -> Option<ServerVersion> {
        self.snapshot(node).version.filter(|_| self.is_up(node))
    }

    /// All nodes, the primary last: what is raised on it is raised on standbys before.
    pub fn standbys_first(&self) -> impl Iterator<Item = usize> {
        let primary = self.primary();
        self.nodes().filter(move |node| Some(*node) != primary).chain(primary)
    }

    /// The walsenders that serve standbys, with the node that each serves.
    pub fn walsenders(&self, node: usize) -> impl Iterator<Item = (&Walsender, Option<usize>)> {
        self.evidence.walsenders(node)
    }

    /// Whether archiving works on it.
    pub fn archiving(&self, node: usize) -> Option<ArchiveState> {
        self.cluster.archiving(self.name(node), self.evidence.now)
    }

    /// Where other servers find it, if that is an address and not a name.
    pub fn address(&self, node: usize) -> Option<IpAddr> {
        let address = self.evidence.layout.members[node].address.as_deref()?;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        host.trim_matches(['[', ']']).parse().ok()
    }

    /// Whether the node says that it streams.
    pub fn streams(&self, node: usize) -> bool {
        let receiver = self.snapshot(node).wal_receiver.as_ref().and_then(|fact| fact.value.as_ref());
        self.is_up(node) && receiver.is_some_and(|receiver| receiver.status == "streaming")
    }

    /// What its log said, or why that is not known; `None`: the config names none.
    pub fn server_log(&self, node: usize) -> Option<Result<&'a ServerLog, &'a str>> {
        let fact = self.snapshot(node).server_log.as_ref()?;
        Some(fact.value.as_ref().map_err(String::as_str))
    }

    /// The newest that the node's log said of late about this, for whoever looks for a cause.
    pub fn cause(&self, node: usize, about: About) -> Option<(String, &'static Class)> {
        let log = self.server_log(node)?.ok()?;
        let (said, class) = log.recent(self.evidence.now).find(|(_, class)| class.about == about)?;
        Some((format!("the log of {} says: {}", self.name(node), said.line), class))
    }

    /// What the newest write probe found on it; `None`: none ran of late.
    pub fn visible(&self, node: usize) -> Option<&'a Visible> {
        let fact = self.snapshot(node).visible.as_ref()?;
        (self.evidence.now.mono.since(fact.seen.mono) <= fact.value.counts_for).then_some(&fact.value)
    }

    /// The role that standbys log in with, by the first `primary_conninfo` that names one.
    pub fn replication_user(&self) -> Option<String> {
        self.nodes().find_map(|node| self.conninfo(node).filter(|conninfo| conninfo.is_set)?.user.clone())
    }

    /// A role of the primary that is there for standbys.
    pub fn replication_role(&self) -> Option<&str> {
        let roles = self.told(self.primary()?)?.roles.as_ref()?;
        roles.iter().find(|role| role.replication && !role.superuser).map(|role| role.name.as_str())
    }

    /// One finding for each of `nodes`; a judge that returns `None` could not look.
    pub fn each(&self, nodes: impl Iterator<Item = usize>, judge: impl Fn(usize) -> Option<Judged>) -> Vec<Finding> {
        let finding = |node: usize| {
            let judged = match self.is_up(node) {
                true => judge(node).unwrap_or_else(|| Judged::Unclear(NOT_READ.to_owned())),
                false => Judged::Unclear(format!("{} is not read: {}", self.name(node), self.verdicts(node).state)),
            };
            finding(Some(self.name(node).to_owned()), judged)
        };
        nodes.filter_map(finding).collect()
    }

    /// One finding for each node, also for those that are not read.
    pub fn on_every_even_down(&self, judge: impl Fn(usize) -> Judged) -> Vec<Finding> {
        self.nodes().filter_map(|node| finding(Some(self.name(node).to_owned()), judge(node))).collect()
    }

    /// One finding for each node.
    pub fn on_every(&self, judge: impl Fn(usize) -> Option<Judged>) -> Vec<Finding> {
        self.each(self.nodes(), judge)
    }

    /// One finding for each standby.
    pub fn on_standbys(&self, judge: impl Fn(usize) -> Option<Judged>) -> Vec<Finding> {
        self.each(self.standbys(), judge)
    }

    /// One finding for the primary; unknown where none is seen.
    pub fn on_primary(&self, judge: impl Fn(usize) -> Option<Judged>) -> Vec<Finding> {
        match self.primary() {
            Some(primary) => self.each(std::iter::once(primary), judge),
            None => self.whole(Judged::Unclear("no primary is seen".to_owned())),
        }
    }

    /// One finding for the cluster.
    pub fn whole(&self, judged: Judged) -> Vec<Finding> {
        finding(None, judged).into_iter().collect()
    }
}

fn finding(node: Option<String>, judged: Judged) -> Option<Finding> {
    let (answer, seen, fix) = match judged {
        Judged::Skip => return None,
        Judged::Well => (Answer::Ok, String::new(), Vec::new()),
        Judged::Ill(seen, fix) => (Answer::Failed, seen, fix),
        Judged::Unclear(why) => (Answer::Unknown, why, Vec::new()),
    };
    Some(Finding { node, answer, seen, fix })
}
