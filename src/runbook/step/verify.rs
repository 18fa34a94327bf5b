//! Whether it came about: one node writes, and the standbys stream from it on its timeline.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::node::{Node, left};
use super::server;
use crate::cluster::assess::Verdict;
use crate::pg::failure::Failure;
use crate::pg::lsn::Timeline;
use crate::runbook::evidence::Server;

/// Between two looks.
const EACH: Duration = Duration::from_millis(200);
/// No probe of a look takes longer.
const PROBE: Duration = Duration::from_secs(2);
/// For so long at least it is looked again where something is not known.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is to be so.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The new primary.
    pub primary: &'a str,
    /// The timeline that it writes.
    pub timeline: Timeline,
    /// Nodes that are known not to run: those that were fenced. They need not answer, and no stream is missed from them.
    pub without: BTreeSet<&'a str>,
    /// The primary that a failover was for: no stream is missed from it, and whether it writes is asked all the same.
    pub gone: Option<&'a str>,
    /// Whether no other node may write.
    pub one_writable: bool,
    /// Within what time all other expected nodes stream; `None`: that is not asked.
    pub streaming_within: Option<Duration>,
}

/// Looks again and again until all is as wanted, or the time for it is over, or a second node is seen writing. Tells in a sentence
/// what is not so.
pub async fn verify(nodes: &[Node], wanted: &Wanted<'_>) -> (Verdict, String) {
    let end = Instant::now() + wanted.streaming_within.unwrap_or(PATIENCE).max(PATIENCE);
    loop {
        let answers = join_all(nodes.iter().map(|node| server::ask(node, PROBE))).await;
        let (verdict, sentence, is_final) = judge(nodes, &answers, wanted);
        if verdict == Verdict::Yes || is_final || Instant::now() >= end {
            return (verdict, sentence);
        }
        sleep(EACH.min(left(end))).await;
    }
}

/// The verdict on one look, in a sentence; whether no later one can be better.
fn judge(nodes: &[Node], answers: &[Result<Server, Failure>], wanted: &Wanted<'_>) -> (Verdict, String, bool) {
    let all = || nodes.iter().zip(answers).map(|(node, answer)| (node, answer.as_ref()));
    let mut wrong = Vec::new();
    let mut unknown = Vec::new();
    match all().find(|(node, _)| node.name() == wanted.primary) {
        Some((_, Ok(server))) if !server.in_recovery && server.timeline == wanted.timeline => {}
        Some((_, Ok(server))) if !server.in_recovery => {
            wrong.push(format!("{} writes timeline {} and not {}", wanted.primary, server.timeline, wanted.timeline));
        }
        Some((_, Ok(_))) => wrong.push(format!("{} is a standby", wanted.primary)),
        Some((_, Err(failure))) => unknown.push(format!("{} does not answer: {failure}", wanted.primary)),
        None => wrong.push(format!("{} is no node of this cluster", wanted.primary)),
    }
    let others = || all().filter(|(node, _)| node.name() != wanted.primary);
    let mut second = false;
    for (node, answer) in others().filter(|_| wanted.one_writable) {
        match answer {
            Ok(server) if !server.in_recovery => {
                second = true;
                wrong.push(format!("{} writes too, timeline {}", node.name(), server.timeline));
            }
            Err(failure) if !wanted.without.contains(node.name()) => {
                unknown.push(format!("whether {} writes is not known: {failure}", node.name()));
            }
            _ => {}
        }
    }
    let is_gone = |name: &str| wanted.without.contains(name) || wanted.gone == Some(name);
    let expected = |node: &Node| node.member.expected && !is_gone(node.name());
    for (node, answer) in others().filter(|(node, _)| wanted.streaming_within.is_some() && expected(node)) {
        match answer {
            Ok(server) if streams(server, wanted.timeline) => {}
            Ok(_) => wrong.push(format!("{} does not stream timeline {}", node.name(), wanted.timeline)),
            Err(failure) => unknown.push(format!("whether {} streams is not known: {failure}", node.name())),
        }
    }
    if !wrong.is_empty() {
        wrong.append(&mut unknown);
        return (Verdict::No, wrong.join("; "), second);
    }
    match unknown.is_empty() {
        false => (Verdict::Unknown, unknown.join("; "), false),
        true => (Verdict::Yes, format!("{} writes timeline {}, as wanted", wanted.primary, wanted.timeline), true),
    }
}

/// WAL of the new timeline comes from its primary, whoever hands it on.
fn streams(server: &Server, timeline: Timeline) -> bool {
    server.in_recovery
        && server.timeline == timeline
        && server.receiver.as_ref().is_some_and(|receiver| receiver.streams)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::layout::Member;
    use crate::pg::failure::Cause;
    use crate::pg::lsn::Lsn;
    use crate::pg::version::ServerVersion;
    use crate::runbook::evidence::Receiver;
    use std::sync::Arc;

    fn node(name: &str) -> Node {
        let word = || name.to_owned();
        let member = Member { name: word(), slot: word(), application_name: word(), address: None, expected: true };
        Node::new(member, None, Arc::new(|_| Err(silent())), None)
    }

    fn silent() -> Failure {
        Failure::new(Cause::Refused, "")
    }

    fn server(in_recovery: bool, timeline: u32, streams: bool) -> Server {
        let receiver = Receiver { streams: true, silent: None, timeout: None, sender: None };
        Server {
            version: ServerVersion(150_000),
            system_identifier: 1,
            timeline: Timeline(timeline),
            in_recovery,
            position: Lsn(1),
            replayed: None,
            receiver: streams.then_some(receiver),
            replay_paused: false,
            apply_delay: Duration::ZERO,
            synchronous_standby_names: String::new(),
            manager: None,
        }
    }

    /// Where b was promoted in a's place, and c is to follow.
    fn wanted(without: &[&'static str]) -> Wanted<'static> {
        Wanted {
            primary: "b",
            timeline: Timeline(2),
            without: without.iter().copied().collect(),
            gone: None,
            one_writable: true,
            streaming_within: Some(Duration::ZERO),
        }
    }

    fn judged(wanted: &Wanted<'_>, a: Option<Server>, b: Option<Server>, c: Option<Server>) -> Verdict {
        let answers = [a, b, c].map(|server| server.ok_or_else(silent));
        judge(&[node("a"), node("b"), node("c")], &answers, wanted).0
    }

    fn of(a: Option<Server>, b: Option<Server>, c: Option<Server>, without: &[&'static str]) -> Verdict {
        judged(&wanted(without), a, b, c)
    }

    #[test]
    fn one_writes_and_the_other_streams_or_it_is_not_so() {
        let new = || Some(server(false, 2, false));
        let follower = || Some(server(true, 2, true));
        assert_eq!(of(None, new(), follower(), &["a"]), Verdict::Yes);
        assert_eq!(of(None, new(), follower(), &[]), Verdict::Unknown, "a was not fenced: it may write");
        assert_eq!(of(Some(server(false, 1, false)), new(), follower(), &["a"]), Verdict::No, "a writes too");
        assert_eq!(of(None, None, follower(), &["a"]), Verdict::Unknown);
        assert_eq!(of(None, Some(server(true, 1, true)), follower(), &["a"]), Verdict::No, "b is a standby");
        assert_eq!(of(None, Some(server(false, 3, false)), follower(), &["a"]), Verdict::No, "b writes another");
        assert_eq!(of(None, new(), Some(server(true, 2, false)), &["a"]), Verdict::No, "c does not stream");
        assert_eq!(of(None, new(), Some(server(true, 1, true)), &["a"]), Verdict::No, "c streams the old timeline");
        assert_eq!(of(None, new(), None, &["a"]), Verdict::Unknown);
        assert_eq!(of(None, new(), None, &["a", "c"]), Verdict::Yes);
    }
    #[test]
    fn of_a_failover_no_stream_of_the_old_primary_is_missed_and_whether_it_writes_is_asked() {
        let mut wanted = Wanted { gone: Some("a"), one_writable: false, ..wanted(&[]) };
        let (new, follower) = (|| Some(server(false, 2, false)), || Some(server(true, 2, true)));
        assert_eq!(judged(&wanted, None, new(), follower()), Verdict::Yes);
        assert_eq!(judged(&wanted, None, new(), None), Verdict::Unknown, "c was not what failed");
        wanted.one_writable = true;
        assert_eq!(judged(&wanted, None, new(), follower()), Verdict::Unknown);
        assert_eq!(judged(&wanted, Some(server(false, 1, false)), new(), follower()), Verdict::No);
    }
}
