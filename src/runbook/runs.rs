//! All runs that the journal tells of, and which alerts fire. Whoever writes the journal keeps it, so that it never knows more than the
//! disk does.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use super::guard::{Cause, Past};
use super::record::{Asked, Entry, Record, Switched};
use super::run::{Event, Run, RunRecord};
use super::story::{Line, Stories};
use crate::alertmanager::Status;
use crate::clock::Moment;

/// So many runs that are over are remembered.
const MOST_ENDED: usize = 1_000;
/// So many alerts are remembered; one more takes the place of the oldest.
const MOST_ALERTS: usize = 4_096;

/// The runs.
#[derive(Debug, Default)]
pub struct Runs {
    open: BTreeMap<String, Run>,
    ended: VecDeque<Run>,
    switched: Option<Switched>,
    alerts: BTreeMap<(String, String), Alarm>,
    asked: BTreeMap<String, (Asked, Moment)>,
    stories: Stories,
}

/// The newest word on the alerts of one name in one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Whether it fires.
    pub firing: bool,
    /// Alerts of its group that were not told.
    pub truncated: u64,
    /// Since when, by the word of whoever told it.
    pub starts_at: jiff::Timestamp,
    /// When it was last handed in.
    pub received: Moment,
}

impl Alarm {
    /// What a run that it wakes is caused by. `name`: the alert's.
    pub fn cause(&self, name: &str) -> Cause {
        let Self { firing, truncated, starts_at, received } = *self;
        Cause::Alert { name: name.to_owned(), firing, truncated, starts_at, received }
    }
}

impl Runs {
    /// Takes in a record that is on disk.
    pub fn take(&mut self, record: &Record) {
        self.hear(&record.entry, record.at);
        match &record.entry {
            Entry::Run(told) => {
                self.write_down(told, record.at);
                self.fold(record.seq, &told.run, &told.event, record.at);
            }
            Entry::Switched(switched) => self.switched = Some(switched.clone()),
            Entry::Asked(asked) => {
                self.asked.insert(asked.cluster.clone(), (asked.clone(), record.at));
            }
            Entry::Opened(_) | Entry::Received(_) | Entry::Ignored(_) => {}
        }
    }

    /// Takes in an alert, told anew or not.
    pub fn hear(&mut self, entry: &Entry, at: Moment) {
        let Entry::Received(heard) = entry else { return };
        let (Some(cluster), Some(name)) = (heard.cluster(), heard.alertname()) else { return };
        let (firing, truncated) = (heard.status == Status::Firing, heard.truncated);
        let alarm = Alarm { firing, truncated, starts_at: heard.starts_at, received: at };
        self.alerts.insert((cluster.to_owned(), name.to_owned()), alarm);
        if self.alerts.len() > MOST_ALERTS {
            let oldest = self.alerts.iter().min_by_key(|(_, alarm)| alarm.received.wall).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.alerts.remove(&key));
        }
    }

    fn write_down(&mut self, told: &RunRecord, at: Moment) {
        let words = told.event.sentence(self.get(&told.run));
        self.stories.tell(&told.run, Line { at: at.wall, kind: told.event.kind(), words });
    }

    /// What happened to a run, the oldest first, if it is one of the newest.
    pub fn story(&self, run: &str) -> &[Line] {
        self.stories.of(run)
    }

    fn fold(&mut self, seq: u64, id: &str, event: &Event, at: Moment) {
        if let Some(run) = self.open.get_mut(id) {
            run.fold(event, at);
            if run.outcome().is_some()
                && let Some(mut run) = self.open.remove(id)
            {
                // What the guards last saw is kept in `judged`; what they saw of the plan nobody asks a run for that is over.
                run.plan.guards = Vec::new();
                self.ended.push_back(run);
                if self.ended.len() > MOST_ENDED {
                    self.forget();
                }
            }
        } else if let Some(run) = self.ended.iter_mut().find(|run| run.id == id) {
            run.fold(event, at);
        } else if let Event::Planned(plan) = event {
            if matches!(plan.cause, Cause::Person { .. }) {
                self.asked.remove(&plan.episode.cluster);
            }
            self.open.insert(id.to_owned(), Run::begin(id.to_owned(), seq, (**plan).clone(), at));
        }
    }

    /// The oldest that needs nobody any more.
    fn forget(&mut self) {
        let oldest = self.ended.iter().position(|run| !run.is_unacknowledged()).unwrap_or(0);
        self.ended.remove(oldest);
    }

    /// Whether every run is stopped, by whom and why.
    pub fn paused(&self) -> Option<&Switched> {
        self.switched.as_ref().filter(|switched| switched.paused)
    }

    /// A run.
    pub fn get(&self, id: &str) -> Option<&Run> {
        self.open.get(id).or_else(|| self.ended.iter().find(|run| run.id == id))
    }

    /// The runs that are not over.
    pub fn open(&self) -> impl Iterator<Item = &Run> {
        self.open.values()
    }

    /// The run of a cluster that is not over.
    pub fn open_of(&self, cluster: &str) -> Option<&Run> {
        self.open().find(|run| run.plan.episode.cluster == cluster)
    }

    /// The runs that are over, oldest first.
    pub fn ended(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.ended.iter()
    }

    /// What a person asked for in a cluster, and when; until it was planned.
    pub fn asked(&self, cluster: &str) -> Option<&(Asked, Moment)> {
        self.asked.get(cluster)
    }

    /// The newest word on an alert.
    pub fn alarm(&self, cluster: &str, name: &str) -> Option<&Alarm> {
        self.alerts.get(&(cluster.to_owned(), name.to_owned()))
    }

    /// The alerts of a cluster.
    pub fn alarms<'a>(&'a self, cluster: &'a str) -> impl Iterator<Item = (&'a str, &'a Alarm)> {
        let of_it = self.alerts.iter().filter(move |((of, _), _)| of == cluster);
        of_it.map(|((_, name), alarm)| (name.as_str(), alarm))
    }

    /// What the guards are to know of runs that are over.
    pub fn past(&self) -> Vec<Past> {
        let past = |run: &Run| {
            Some(Past {
                run: run.id.clone(),
                cluster: run.plan.episode.cluster.clone(),
                runbook: run.plan.runbook.clone(),
                acted: run.acted,
                promoted: run.plan.candidate.clone().filter(|_| run.promoted),
                ended: run.ended?,
                acknowledged: !run.is_unacknowledged(),
            })
        };
        self.ended.iter().filter_map(past).collect()
    }

    /// The first record that a later process must still find.
    pub fn needed(&self) -> Option<u64> {
        let unacknowledged = self.ended.iter().filter(|run| run.is_unacknowledged());
        self.open.values().chain(unacknowledged).map(|run| run.first).min()
    }
}
