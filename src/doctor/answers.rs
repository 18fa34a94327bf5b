//! The five questions about a cluster, answered.

use serde::Serialize;

use super::patient::Patient;
use crate::cluster::assess::Verdict;
use crate::collector::archive_verdict::ArchiveState;

/// One question with its answer.
#[derive(Clone, Debug, Serialize)]
pub struct Question {
    /// What is asked.
    pub question: &'static str,
    /// Yes, no, or unknown.
    pub answer: Verdict,
    /// By what.
    pub because: String,
}

/// All five, in order.
pub fn all(patient: &Patient<'_>) -> [Question; 5] {
    let (answer, because) = replicating(patient);
    let replicating = Question { question: "is it replicating", answer, because };
    let (answer, because) = archived(patient);
    let archived = Question { question: "is it archived", answer, because };
    let (answer, because) = failover(patient);
    let failover = Question { question: "would a failover succeed now", answer, because };
    let (answer, because) = lost(patient);
    let lost = Question { question: "would a failover lose nothing", answer, because };
    let (answer, because) = rewind(patient);
    [replicating, archived, failover, lost, Question { question: "can the old primary be rewound", answer, because }]
}

fn replicating(patient: &Patient<'_>) -> (Verdict, String) {
    let Some(primary) = patient.primary() else { return (Verdict::Unknown, "no primary is seen".to_owned()) };
    let standbys: Vec<_> = patient.standbys().collect();
    if standbys.is_empty() {
        return (Verdict::No, "the config names no standby".to_owned());
    }
    let told = |node: &usize| {
        let lag = patient.verdicts(*node).lag.as_ref();
        let behind = match lag.map(|lag| (lag.replayed.seconds, lag.replayed.bytes)) {
            Some((Ok(seconds), Some(bytes))) => format!("{seconds:.1} s and {bytes} bytes behind"),
            Some((Ok(seconds), None)) => format!("{seconds:.1} s behind"),
            _ => "lag unknown".to_owned(),
        };
        let shown = patient.visible(*node).and_then(|visible| visible.seconds.clone().ok());
        let behind = match shown {
            Some(seconds) => format!("{behind}, showed a row after {seconds:.2} s"),
            None => behind,
        };
        match (patient.is_up(*node), patient.streams(*node)) {
            (false, _) => format!("{} is not read", patient.name(*node)),
            (true, true) => format!("{} streams, {behind}", patient.name(*node)),
            (true, false) => format!("{} does not stream, {behind}", patient.name(*node)),
        }
    };
    let verdict = match () {
        () if standbys.iter().all(|node| patient.streams(*node)) => Verdict::Yes,
        () if standbys.iter().any(|node| patient.is_up(*node) && !patient.streams(*node)) => Verdict::No,
        () => Verdict::Unknown,
    };
    let told: Vec<_> = standbys.iter().map(told).collect();
    (verdict, format!("from {}: {}", patient.name(primary), told.join("; ")))
}

fn archived(patient: &Patient<'_>) -> (Verdict, String) {
    let Some(primary) = patient.primary() else { return (Verdict::Unknown, "no primary is seen".to_owned()) };
    let state = patient.archiving(primary).unwrap_or(ArchiveState::Unknown);
    let verdict = match state {
        ArchiveState::Ok => Verdict::Yes,
        ArchiveState::Unknown | ArchiveState::Never => Verdict::Unknown,
        _ => Verdict::No,
    };
    (verdict, format!("archiving of {} is {}", patient.name(primary), state.as_str()))
}

fn failover(patient: &Patient<'_>) -> (Verdict, String) {
    if let Some(best) = &patient.assessment.failover_candidate {
        return (Verdict::Yes, format!("{best} would be promoted"));
    }
    let told = patient.standbys().map(|node| {
        let reasons = patient.verdicts(node).promotable.iter().flat_map(|promotable| &promotable.reasons);
        let reasons: Vec<_> = reasons.map(|reason| reason.meaning()).collect();
        format!("{}: {}", patient.name(node), reasons.join(", "))
    });
    let told: Vec<_> = told.collect();
    let undecided = patient.standbys().any(|node| {
        let promotable = patient.verdicts(node).promotable.as_ref();
        promotable.is_none_or(|promotable| promotable.verdict != Verdict::No)
    });
    match told.is_empty() {
        true => (Verdict::No, "there is no standby".to_owned()),
        false => (if undecided { Verdict::Unknown } else { Verdict::No }, told.join("; ")),
    }
}

fn lost(patient: &Patient<'_>) -> (Verdict, String) {
    let Some(loss) = &patient.assessment.failover_loss else {
        return (Verdict::Unknown, "nobody can be promoted, or the primary was not seen".to_owned());
    };
    let synchronous = patient.primary().and_then(|primary| {
        let sync = &patient.snapshot(primary).sync.as_ref()?.value;
        let waits =
            !sync.standby_names.trim().is_empty() && !matches!(sync.synchronous_commit.as_str(), "off" | "local");
        Some(waits)
    });
    let promise = match synchronous {
        Some(true) => "commits wait for standbys: what was acknowledged is on one of them",
        Some(false) => "commits wait for no standby: what was acknowledged may be on the primary alone",
        None => "whether commits wait for a standby is not known",
    };
    let seen = format!(
        "{} bytes were seen on the primary alone, {} at most by its recent rate; {promise}",
        loss.seen_bytes, loss.estimated_bytes
    );
    // A commit that waits for any of several may be on another one than the candidate, unless that streams too.
    let best = patient.assessment.failover_candidate.as_deref();
    let streams = patient.nodes().any(|node| Some(patient.name(node)) == best && patient.streams(node));
    let verdict = match (loss.seen_bytes, synchronous) {
        (0, Some(true)) if streams => Verdict::Yes,
        (0, _) | (_, Some(true) | None) => Verdict::Unknown,
        (_, Some(false)) => Verdict::No,
    };
    (verdict, seen)
}

fn rewind(patient: &Patient<'_>) -> (Verdict, String) {
    let Some(primary) = patient.primary() else { return (Verdict::Unknown, "no primary is seen".to_owned()) };
    let number = |name: &str| patient.number(primary, name);
    let (Some(checksums), Some(hints), Some(pages)) =
        (number("data_checksums"), number("wal_log_hints"), number("full_page_writes"))
    else {
        return (Verdict::Unknown, format!("the settings of {} were not read", patient.name(primary)));
    };
    let by = match () {
        () if pages == 0.0 => return (Verdict::No, "full_page_writes is off".to_owned()),
        () if checksums != 0.0 => "it has checksums",
        () if hints != 0.0 => "wal_log_hints is on",
        () => return (Verdict::No, format!("{} has neither checksums nor wal_log_hints", patient.name(primary))),
    };
    (Verdict::Yes, format!("{by}; the WAL since the fork must still be there, in pg_wal or by restore_command"))
}
