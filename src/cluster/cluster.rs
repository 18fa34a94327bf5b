//! One cluster as its observer knows it: reports go in, assessments and samples come out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::aside::Aside;
use super::assess::{Assessment, Evidence, Verdict};
use super::facts::{NodeFacts, Report};
use super::history::Origin;
use super::lag::{At, SampledLag};
use super::layout::Layout;
use super::maintenance::Maintenance;
use super::memory::Memory;
use super::observers::{self, Circle, Told};
use super::promotable::Promised;
use super::reconnects::Reconnects;
use super::trend::Trend;
use crate::archive_watch::archive_dir::ArchiveDir;
use crate::clock::{Moment, Mono, Wall};
use crate::collector::recovery::{Recovery, ReplayPause};
use crate::collector::snapshot::Fact;
use crate::metric::histogram::{self, Histogram};
use crate::pg::lsn::Timeline;
use crate::pg::wal_file::SegmentSize;

/// The stages of a walsender's own lag, as in the label `stage`.
pub const WALSENDER_STAGES: [&str; 3] = ["write", "flush", "replay"];

/// Up to which time after its last sight as a standby the end of a primary's replay is taken for its promotion, where it never
/// streamed: a crash after the promotion would have to fit in.
const PROMOTION_WATCHED: Duration = Duration::from_secs(60);

/// The server's own lags of one standby, by the node that reported them and the standby's name.
pub type WalsenderLags = BTreeMap<(usize, String), [Histogram; 3]>;

/// Up to which age a look into `archive_dir` counts: the longest rest between two, and their time.
const ARCHIVE_WINDOW: Duration = Duration::from_secs(300);

/// One cluster.
pub struct Cluster {
    layout: Layout,
    facts: Vec<NodeFacts>,
    memory: Memory,
    circle: Circle,
    sampled: Vec<[SampledLag; 2]>,
    trends: Vec<Trend>,
    walsender_lags: WalsenderLags,
    reconnects: Reconnects,
    /// What is in `archive_dir`; `None` if there is none.
    archive_dir: Option<Fact<ArchiveDir>>,
    /// What is beside the servers.
    aside: Aside,
    not_before: Moment,
    /// Which nodes must be heard again before anything is known: those that were watched when our clock was late.
    awaited: Vec<bool>,
    last_tick: Option<Moment>,
    /// Within what time of the last tick the next one was to come: of two intervals the longer, after a change.
    due_within: Duration,
    /// Whether every node was heard once.
    settled: bool,
    revision: u64,
}

impl Cluster {
    /// A cluster of which nothing is known but what is remembered.
    pub fn new(layout: Layout, memory: Memory, now: Moment) -> Self {
        let nodes = layout.members.len();
        Self {
            facts: vec![NodeFacts::default(); nodes],
            sampled: vec![Default::default(); nodes],
            trends: vec![Trend::default(); nodes],
            walsender_lags: WalsenderLags::new(),
            reconnects: Reconnects::default(),
            archive_dir: None,
            aside: Aside::default(),
            circle: Circle::new(),
            not_before: now,
            awaited: vec![true; nodes],
            last_tick: None,
            due_within: layout.timing.sample_interval,
            settled: false,
            revision: 0,
            layout,
            memory,
        }
    }

    /// Takes another configuration. Of a node in `kept` all that is known stays, of another only its histograms, of one that is gone
    /// nothing; the history of the primary stays.
    pub fn relayout(&mut self, layout: Layout, kept: &BTreeSet<String>) {
        let old = std::mem::replace(&mut self.layout, layout);
        self.due_within = self.due_within.max(self.layout.timing.sample_interval);
        let place = |name: &str| old.members.iter().position(|member| member.name == name);
        let members = &self.layout.members;
        let before: Vec<_> = members.iter().map(|member| place(&member.name)).collect();
        let known: Vec<_> = members
            .iter()
            .zip(&before)
            .map(|(member, before)| before.filter(|_| kept.contains(&member.name)))
            .collect();
        self.facts =
            known.iter().map(|before| before.map_or_else(NodeFacts::default, |at| self.facts[at].clone())).collect();
        self.trends =
            known.iter().map(|before| before.map_or_else(Trend::default, |at| self.trends[at].clone())).collect();
        self.awaited = known.iter().map(|before| before.is_some_and(|at| self.awaited[at])).collect();
        self.sampled =
            before.iter().map(|before| before.map_or_else(Default::default, |at| self.sampled[at].clone())).collect();
        // Where what is counted of a node's walsender to a standby now belongs.
        let moved = |node: usize, standby: &str| {
            let is_known = place(standby).is_none() || members.iter().any(|member| member.name == standby);
            before.iter().position(|before| *before == Some(node)).filter(|_| is_known)
        };
        let lags = std::mem::take(&mut self.walsender_lags).into_iter();
        self.walsender_lags =
            lags.filter_map(|((node, standby), lags)| Some(((moved(node, &standby)?, standby), lags))).collect();
        self.reconnects.relayout(moved);
        self.circle.retain(|observer, _| self.layout.observers.contains(observer));
        self.memory.nodes.retain(|name, _| kept.contains(name));
        if self.memory.primary.as_ref().is_some_and(|primary| !members.iter().any(|member| member.name == *primary)) {
            self.memory.primary = None;
        }
        self.revision += 1;
    }

    /// Takes in what the loop of node number `node` has to say.
    pub fn report(&mut self, node: usize, report: Report, now: Moment) {
        let (Some(member), Some(facts)) = (self.layout.members.get(node), self.facts.get_mut(node)) else { return };
        let name = member.name.clone();
        let before = (facts.read, facts.failure.as_ref().map(|failure| failure.value.state));
        let reply_window = self.memory.node(&name).reply_window();
        facts.fold(report, now, reply_window);
        if before.1 != facts.failure.as_ref().map(|failure| failure.value.state) || before.0.is_none() {
            self.revision += 1;
        }
        if let Some(settings) = &facts.snapshot.settings {
            self.memory.nodes.entry(name.clone()).or_default().note_settings(&settings.value);
        }
        if facts.read != before.0 {
            self.note_reading(node, &name);
        }
        self.settled |= self.facts.iter().all(|facts| facts.heard().is_some());
    }

    /// Takes in what was found in `archive_dir`.
    pub fn report_archive(&mut self, value: ArchiveDir, now: Moment) {
        self.archive_dir = Some(Fact { value, seen: now });
    }

    /// Forgets what was found in `archive_dir`: it is another one, or none.
    pub fn forget_archive(&mut self) {
        self.archive_dir = None;
    }

    /// What was found in `archive_dir`, if the cluster has one; the inner is `None` if that was too long ago.
    pub fn archive_dir(&self, now: Moment) -> Option<Option<&Fact<ArchiveDir>>> {
        let fact = self.archive_dir.as_ref()?;
        let counts = now.mono.since(fact.seen.mono) <= ARCHIVE_WINDOW && fact.seen.mono >= self.not_before.mono;
        Some(Some(fact).filter(|_| counts && !self.is_late(now)))
    }

    /// What was found beside the servers.
    pub fn aside(&self) -> &Aside {
        &self.aside
    }

    /// The same, for those who look.
    pub fn aside_mut(&mut self) -> &mut Aside {
        &mut self.aside
    }

    /// The size of the segments of the cluster's WAL, by any of its nodes.
    pub fn segment_size(&self) -> Option<SegmentSize> {
        let mut settings = self.facts.iter().filter_map(|facts| facts.snapshot.settings.as_ref());
        settings.find_map(|settings| SegmentSize::new(settings.value.wal_segment_size))
    }

    /// Takes in what `observer` said; of one that is no longer configured, nothing.
    pub fn hear(&mut self, observer: &str, told: Told) {
        if !self.layout.observers.iter().any(|known| known == observer) {
            return;
        }
        if !told.ours {
            self.memory.note_told_timeline(told.system_identifier.as_ref(), told.timeline);
        }
        if observers::hear(&mut self.circle, observer, told) {
            self.revision += 1;
        }
    }

    /// Takes in that `observer` does not answer any more.
    pub fn lose(&mut self, observer: &str) {
        if let Some(told) = self.circle.get_mut(observer) {
            told.lost = true;
        }
    }

    /// Starts a maintenance, in the place of the present one if there is any.
    pub fn start_maintenance(&mut self, maintenance: Maintenance) {
        self.memory.maintenance = Some(maintenance);
        self.revision += 1;
    }

    /// Ends the maintenance, if there is any.
    pub fn end_maintenance(&mut self) -> Option<Maintenance> {
        self.revision += 1;
        self.memory.maintenance.take()
    }

    /// Forgets a maintenance that is over, and tells it.
    pub fn expire_maintenance(&mut self, now: Wall) -> Option<Maintenance> {
        let over = self.memory.maintenance.take_if(|maintenance| !maintenance.holds(now))?;
        self.revision += 1;
        Some(over)
    }

    /// The present maintenance.
    pub fn maintenance(&self, now: Wall) -> Option<&Maintenance> {
        self.memory.maintenance.as_ref().filter(|maintenance| maintenance.holds(now))
    }

    /// Counts one tick of our clock: every standby's lag is sampled, known or not. Tells whether the tick was late.
    pub fn tick(&mut self, now: Moment) -> bool {
        let late = self.last_tick.is_some() && self.is_late(now);
        if late {
            self.not_before = now;
            self.awaited.fill(true);
        }
        self.last_tick = Some(now);
        self.due_within = self.layout.timing.sample_interval;
        let assessment = self.evidence(now).assess(At::Reading);
        for (node, trend) in assessment.nodes.iter().zip(&mut self.trends) {
            trend.tick(node.lag.as_ref(), now);
        }
        for (node, sampled) in assessment.nodes.iter().zip(&mut self.sampled) {
            let Some(lag) = &node.lag else { continue };
            for ((_, stage), sampled) in lag.stages().iter().zip(sampled) {
                sampled.tick(stage);
            }
        }
        late
    }

    /// All verdicts at `now`, as pages show them.
    pub fn assess(&self, now: Moment) -> Assessment {
        self.evidence(now).assess(At::Now)
    }

    /// What the verdicts are made of.
    pub fn evidence(&self, now: Moment) -> Evidence<'_> {
        let heard = |facts: &NodeFacts| facts.heard().is_some_and(|heard| heard.mono >= self.not_before.mono);
        let unheard = |(facts, awaited): (&NodeFacts, &bool)| *awaited && !heard(facts);
        let blind = self.is_late(now) || self.facts.iter().zip(&self.awaited).any(unheard);
        let not_before = self.not_before;
        Evidence {
            layout: &self.layout,
            facts: &self.facts,
            memory: &self.memory,
            circle: &self.circle,
            now,
            not_before,
            blind,
        }
    }

    /// What is known of node number `node`.
    pub fn facts(&self, node: usize) -> &NodeFacts {
        &self.facts[node]
    }

    /// Who is who.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What is remembered, to be kept over a restart.
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The lag histograms of each node.
    pub fn sampled(&self) -> &[[SampledLag; 2]] {
        &self.sampled
    }

    /// The lag of each node over the last minutes.
    pub fn trends(&self) -> &[Trend] {
        &self.trends
    }

    /// The histograms of the servers' own lags.
    pub const fn walsender_lags(&self) -> &WalsenderLags {
        &self.walsender_lags
    }

    /// How often each standby was seen to connect anew.
    pub const fn reconnects(&self) -> &Reconnects {
        &self.reconnects
    }

    /// Rises whenever a node's state may have changed: a page made before is out of date.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Late by more than two intervals, or not ticking yet.
    fn is_late(&self, now: Moment) -> bool {
        self.last_tick.is_none_or(|last| now.mono.since(last.mono) > 3 * self.due_within)
    }

    fn note_reading(&mut self, node: usize, name: &str) {
        let facts = &self.facts[node];
        let (Some(read), Some(recovery)) = (facts.read, facts.snapshot.recovery.clone()) else { return };
        let remembered = self.memory.nodes.entry(name.to_owned()).or_default();
        let standby_until = remembered.own.map(|own| own.valid_at.mono);
        remembered.note_own(facts);
        if !recovery.value.in_recovery {
            // Recovery from a crash leaves its end there too, but no position that was streamed.
            let watched = standby_until.is_some_and(|until| read.mono.since(until) <= PROMOTION_WATCHED);
            let fork = recovery.value.replay_lsn.filter(|_| watched || recovery.value.receive_lsn.is_some());
            let origin = Origin { fork, standby_until };
            self.note_primary(node, name, &recovery.value, origin, read);
        }
        self.note_connections(node, read);
        self.note_lineage(node, name);
        self.note_walsenders(node, name, read);
        if self.memory.primary.as_deref() == Some(name) && !recovery.value.in_recovery {
            self.memory.promised =
                Promised::by(name, &self.facts[node].snapshot, &self.layout).or(self.memory.promised.take());
        }
        self.note_blocked(node, name, &recovery.value, read);
    }

    /// Remembers a replay that its settings block, until that server is seen not paused: the primary may go, or be lowered again.
    fn note_blocked(&mut self, node: usize, name: &str, recovery: &Recovery, read: Moment) {
        let paused = recovery.pause == Some(ReplayPause::Paused);
        let evidence = self.evidence(read);
        let blocked = paused && evidence.comparison(node, evidence.fresh_primary()).replay_blocked == Verdict::Yes;
        let remembered = self.memory.nodes.entry(name.to_owned()).or_default();
        if blocked || !paused {
            remembered.blocked_start = blocked.then_some(recovery.started_at);
        }
    }

    /// Counts the standbys that connected anew.
    fn note_connections(&mut self, node: usize, read: Moment) {
        let snapshot = &self.facts[node].snapshot;
        if snapshot.walsenders.as_ref().is_none_or(|fact| fact.seen != read) {
            return;
        }
        if snapshot.recovery.as_ref().is_some_and(|recovery| !recovery.value.in_recovery) {
            let others = self.layout.members.iter().enumerate().filter(|(other, _)| *other != node);
            for (_, standby) in others.filter(|(_, member)| member.expected) {
                self.reconnects.expect(node, &standby.name);
            }
        }
        let standbys = self.layout.standbys(snapshot);
        let named = standbys.map(|(row, member)| (row, self.layout.standby_name(row, member), member.is_some()));
        self.reconnects.note(node, named);
    }

    /// Takes in what a node of this system tells of the cluster's timelines.
    fn note_lineage(&mut self, node: usize, name: &str) {
        let remembered = self.memory.node(name);
        if self.memory.system_identifier.is_none() || remembered.system != self.memory.system_identifier {
            return;
        }
        if let Some(timeline) = remembered.timeline {
            self.memory.note_timeline(timeline, !self.settled);
        }
        let receiver = self.facts[node].snapshot.wal_receiver.as_ref().and_then(|fact| fact.value.as_ref());
        let told = receiver.and_then(|receiver| receiver.received_tli.zip(receiver.latest_end_lsn));
        if let Some((timeline, lsn)) = told.max(remembered.streamed) {
            self.memory.note_reported(timeline, lsn);
        }
        if let Some((timeline, at)) = self.heard(node).filter(|_| self.memory.is_fed(name)) {
            self.memory.note_heard(timeline, at);
        }
    }

    /// When this standby last heard from its upstream, if it has all that it was told: what was on its way then was the newest.
    fn heard(&self, node: usize) -> Option<(Timeline, Mono)> {
        let snapshot = &self.facts[node].snapshot;
        let (recovery, fact) = (snapshot.recovery.as_ref()?, snapshot.wal_receiver.as_ref()?);
        let receiver = fact.value.as_ref()?;
        let has_all = receiver.written_lsn? >= receiver.latest_end_lsn?;
        let age = recovery.value.server_time.seconds_since(receiver.last_msg_receipt_time?);
        let age = Duration::try_from_secs_f64(age).unwrap_or_default();
        (has_all && recovery.seen == fact.seen).then_some((receiver.received_tli?, fact.seen.mono.minus(age)))
    }

    /// Adds the primary's position to the history, if it is of this system and alone on its timeline.
    fn note_primary(&mut self, node: usize, name: &str, recovery: &Recovery, origin: Origin, read: Moment) {
        let (Some(timeline), Some(lsn)) = (recovery.timeline, recovery.flush_lsn) else { return };
        let Some(identifier) = self.memory.node(name).system else { return };
        if self.memory.system_identifier.as_ref() != Some(&identifier) {
            let remembered = &self.memory.system_identifier;
            // What a node was when it was last read counts, also before a restart of ours: one that is down is no stranger.
            let members = self.layout.members.iter();
            if remembered.is_some()
                && members.map(|member| self.memory.node(&member.name)).any(|node| node.system == *remembered)
            {
                return;
            }
            // Nobody is of the remembered system any more: it was made anew.
            let maintenance = self.memory.maintenance.take();
            self.memory = Memory { system_identifier: Some(identifier), maintenance, ..Memory::default() };
            self.memory.nodes.entry(name.to_owned()).or_default().note_own(&self.facts[node]);
        }
        let evidence = self.evidence(read);
        if evidence.twin_of(node).is_some() {
            return;
        }
        let others = (0..self.facts.len()).filter(|other| *other != node && evidence.is_fresh(*other));
        let rival = others.filter(|other| evidence.twin_of(*other).is_none()).any(|other| {
            let recovery = self.facts[other].snapshot.recovery.as_ref();
            recovery.is_some_and(|recovery| recovery.value.timeline == Some(timeline))
        });
        if !rival {
            let interval = self.layout.timing.sample_interval;
            self.memory.history.observe(read.mono, timeline, lsn, origin, interval);
            if self.memory.history.newest().is_some_and(|(newest, _)| newest == timeline) {
                self.memory.primary = Some(name.to_owned());
            }
        }
    }

    /// Takes in what this node's walsenders heard from their standbys.
    fn note_walsenders(&mut self, node: usize, name: &str, read: Moment) {
        let facts = &self.facts[node];
        let snapshot = &facts.snapshot;
        if snapshot.walsenders.as_ref().is_none_or(|fact| fact.seen != read) {
            return;
        }
        let timeline = self.memory.nodes.get(name).and_then(|remembered| remembered.timeline);
        let standbys = self.layout.standbys(snapshot);
        let members: Vec<_> = standbys.filter_map(|(walsender, member)| Some((walsender, member?))).collect();
        for (walsender, member) in &members {
            let standby = &self.layout.members[*member].name;
            let lags = [walsender.write_lag, walsender.flush_lag, walsender.replay_lag];
            let histograms = self.walsender_lags.entry((node, standby.clone()));
            let histograms = histograms.or_insert_with(|| [(); 3].map(|()| Histogram::new(histogram::SECONDS)));
            for (histogram, lag) in histograms.iter_mut().zip(lags) {
                if let Some(lag) = lag {
                    histogram.observe(lag);
                }
            }
            // Two walsenders of one name cannot be told apart: neither speaks for the standby.
            let alone = members.iter().filter(|(_, other)| other == member).count() == 1;
            // What never says how far it replayed is no walreceiver, by whatever name.
            let speaks = alone && walsender.replay_lsn.is_some();
            if let (true, Some(timeline), Some(at)) = (speaks, timeline, facts.replied(walsender)) {
                let remembered = self.memory.nodes.entry(standby.clone()).or_default();
                remembered.note_told(walsender, name, timeline, at);
            }
        }
    }
}
