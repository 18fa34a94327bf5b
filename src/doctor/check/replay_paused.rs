//! Check `replay_paused`.

use super::*;

/// Replay goes on.
pub static CHECK: Check = Check {
    id: "replay_paused",
    severity: Severity::Warning,
    title: "replay goes on",
    seen: "pg_get_wal_replay_pause_state() of each standby.",
    why: "It shows old data, keeps its WAL, and must replay all of it before it could take over.",
    fix: "SELECT pg_wal_replay_resume(). Where settings_lower fails too, that first: a resume would shut the standby down.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let pause = patient.recovery(node)?.pause?;
        let blocked =
            patient.verdicts(node).settings.as_ref().is_some_and(|settings| settings.replay_blocked == Verdict::Yes);
        let fix = || match blocked {
            true => patient.words(node, "do as settings_lower says: a resume would shut it down"),
            false => vec![patient.sql(node, "SELECT pg_wal_replay_resume()")],
        };
        Some(ill_if(pause != ReplayPause::Running, || "replay is paused".to_owned(), fix))
    })
}
