//! Whom a failover would promote. Pure, and the same evidence gives the same standby.

use super::evidence::{Evidence, Server};
use crate::cluster::assess::{NodeAssessment, Verdict};
use crate::cluster::promotable::{Promotable, Reason};

/// The standby to promote: its number.
///
/// Only one that answers as a standby of this system, and that observation does not rule out: where synchronous standbys were in force,
/// that leaves those which have every acknowledged commit. Of these only the newest timeline counts, since positions of two timelines do
/// not compare. Then the furthest received position, whether nothing stands in the way and there is an admin DSN, and the order of the
/// config.
pub fn choose(evidence: &Evidence) -> Option<usize> {
    best(evidence, None, |promotable| promotable.verdict, |server| server.position)
}

/// The standby to promote where a person is asked about `asked`: that one, as long as no other has received more. An answer to another
/// question would count for nothing.
pub fn choose_again(evidence: &Evidence, asked: usize) -> Option<usize> {
    best(evidence, Some(asked), |promotable| promotable.verdict, |server| server.position)
}

/// The standby to promote while the primary lives and writes. Positions move on and count for nothing: what matters is that it has
/// everything when the primary is stopped.
pub fn choose_planned(evidence: &Evidence) -> Option<usize> {
    best(evidence, None, verdict_while_moving, |_| ())
}

/// Whether a standby could take over, where the others receive on, too.
pub(super) fn verdict_while_moving(promotable: &Promotable) -> Verdict {
    let others = || promotable.reasons.iter().filter(|reason| **reason != Reason::BehindOtherStandby);
    match promotable.verdict {
        Verdict::No if others().all(|reason| reason.verdict() == Verdict::Yes) => Verdict::Yes,
        Verdict::No if others().all(|reason| reason.verdict() != Verdict::No) => Verdict::Unknown,
        verdict => verdict,
    }
}

fn best<P: Ord + Copy>(
    evidence: &Evidence,
    asked: Option<usize>,
    verdict: fn(&Promotable) -> Verdict,
    place: fn(&Server) -> P,
) -> Option<usize> {
    let fit = evidence.standbys().filter_map(|(number, look)| {
        let server = look.probe.as_ref().ok().filter(|server| is_fit(evidence, server))?;
        let promotable = promotable(evidence, number).map(verdict);
        let ready = (look.has_admin, asked == Some(number), promotable == Some(Verdict::Yes));
        (promotable != Some(Verdict::No)).then_some((number, (server.timeline, place(server), ready)))
    });
    let fit: Vec<_> = fit.collect();
    // Of equal ones the last is found: so they come last first.
    fit.into_iter().rev().max_by_key(|(_, place)| *place).map(|(number, _)| number)
}

/// What observation says of a standby's fitness.
pub(super) fn promotable(evidence: &Evidence, number: usize) -> Option<&Promotable> {
    evidence.assessment.nodes.get(number).and_then(|node: &NodeAssessment| node.promotable.as_ref())
}

fn is_fit(evidence: &Evidence, server: &Server) -> bool {
    let system = evidence.primary.as_ref().and_then(|primary| primary.system_identifier);
    server.in_recovery
        && system.is_none_or(|system| system == server.system_identifier)
        && !server.replay_paused
        && server.apply_delay.is_zero()
}
