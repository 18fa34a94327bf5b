//! Who feeds a standby. Three witnesses, the surest first: the standby, that it has no walreceiver; a node, whose walsender serves
//! it; and the standby again, by the address that its walreceiver connected to, which may be that of a proxy.

use serde::{Serialize, Serializer};

use super::assess::Evidence;
use crate::collector::wal_receiver::WalReceiver;
use crate::collector::walsender_kind::WalsenderKind;

/// Who feeds a standby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// This node of the cluster.
    Node(String),
    /// A server that is no node of the cluster.
    Other,
    /// Nobody: it has no walreceiver.
    None,
    /// It cannot be said.
    Unknown,
}

impl Upstream {
    /// The values of the label `upstream` beside the names of nodes.
    pub const WORDS: [&'static str; 3] = ["other", "none", "unknown"];

    /// The value of the label `upstream`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Node(name) => name,
            Self::Other => Self::WORDS[0],
            Self::None => Self::WORDS[1],
            Self::Unknown => Self::WORDS[2],
        }
    }
}

impl Serialize for Upstream {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Evidence<'_> {
    /// Who feeds node number `index`, which is no primary.
    pub(super) fn upstream(&self, index: usize) -> Upstream {
        let facts = &self.facts[index];
        let read = self.is_fresh(index).then_some(facts.snapshot.wal_receiver.as_ref()).flatten();
        let receiver = match read.filter(|fact| Some(fact.seen) == facts.read).map(|fact| &fact.value) {
            Some(None) => return Upstream::None,
            Some(Some(receiver)) => Some(receiver),
            None => None,
        };
        let others = || (0..self.facts.len()).filter(|other| *other != index && self.twin_of(*other).is_none());
        let feeders: Vec<usize> = others().filter(|other| self.feeds(*other, index, receiver.is_some())).collect();
        let node = |index: usize| Upstream::Node(self.layout.members[index].name.clone());
        let dialled = receiver.and_then(|receiver| self.dialled(receiver)).filter(|dialled| *dialled != index);
        let possible = dialled.filter(|dialled| !self.cannot_feed(*dialled, index));
        match (feeders.as_slice(), dialled, possible) {
            ([], _, Some(possible)) => node(possible),
            ([], None, None) if receiver.is_some() && others().all(|other| self.cannot_feed(other, index)) => {
                Upstream::Other
            }
            ([], ..) => Upstream::Unknown,
            (feeders, _, Some(possible)) if feeders.contains(&possible) => node(possible),
            // A walsender outlives its standby's move until its timeout. One that is still answered is no such walsender, unless
            // the standby says, and it can be true, that it went elsewhere.
            (feeders, _, possible) => {
                let mut answered = feeders.iter().filter(|feeder| self.hears(**feeder, index));
                let elsewhere = possible.filter(|possible| self.is_fresh(*possible));
                match (feeders, elsewhere, answered.next(), answered.next()) {
                    ([feeder], None, ..) | (_, None, Some(feeder), None) => node(*feeder),
                    (_, Some(elsewhere), None, None) => node(elsewhere),
                    _ => Upstream::Unknown,
                }
            }
        }
    }

    /// Whether a walsender of node `upstream` serves node `standby`. `connected`: the standby itself says that it has a walreceiver;
    /// else only one that sends WAL counts.
    fn feeds(&self, upstream: usize, standby: usize, connected: bool) -> bool {
        self.walsenders(upstream).any(|(walsender, member)| {
            member == Some(standby) && (connected || matches!(walsender.state.as_str(), "streaming" | "catchup"))
        })
    }

    /// Whether a walsender of node `upstream` had news from node `standby` within its reply window.
    fn hears(&self, upstream: usize, standby: usize) -> bool {
        let window = self.memory.node(&self.layout.members[standby].name).reply_window();
        self.walsenders(upstream).filter(|(_, member)| *member == Some(standby)).any(|(walsender, _)| {
            let replied = self.facts[upstream].replied(walsender);
            replied.is_some_and(|replied| self.now.mono.since(replied.mono) <= window)
        })
    }

    /// Whether node `upstream` was read after the standby's walreceiver was there, and showed no walsender that might serve it under
    /// whatever name.
    fn cannot_feed(&self, upstream: usize, standby: usize) -> bool {
        let snapshot = &self.facts[upstream].snapshot;
        let walsenders = snapshot.walsenders.as_ref().filter(|_| self.is_fresh(upstream));
        let since = self.facts[standby].receiver.since;
        let later = walsenders.zip(since).is_some_and(|(fact, since)| fact.seen.mono > since.mono);
        let nameless = |(walsender, kind)| {
            kind == WalsenderKind::Standby && self.layout.member_of(walsender, snapshot.slots()).is_none()
        };
        later && !self.feeds(upstream, standby, true) && !snapshot.senders().any(nameless)
    }

    /// The one node whose address the walreceiver connected to.
    fn dialled(&self, receiver: &WalReceiver) -> Option<usize> {
        let (host, port) = (receiver.sender_host.as_deref()?, receiver.sender_port?);
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let member = |index: &usize| {
            let known = self.layout.members[*index].address.as_deref();
            known.is_some_and(|known| known.eq_ignore_ascii_case(&address))
        };
        let mut found = (0..self.layout.members.len()).filter(member);
        found.next().filter(|_| found.next().is_none())
    }
}
