//! Check `sync_unsatisfied`.

use super::*;

/// Synchronous commits can go on.
pub static CHECK: Check = Check {
    id: "sync_unsatisfied",
    severity: Severity::Error,
    title: "synchronous commits can go on",
    seen: "synchronous_standby_names of the primary against the walsenders that stream.",
    why: "Every commit that waits for them hangs.",
    fix: "Bring the standbys back, correct their application_name, or name those that there are.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_primary(|node| {
        let quorum = patient.verdicts(node).sync.as_ref()?;
        let connected: Vec<_> =
            patient.walsenders(node).map(|(walsender, _)| walsender.application_name.as_str()).collect();
        let fix = || match connected.as_slice() {
            [] => patient.set(node, "synchronous_standby_names", ""),
            names => {
                let quoted: Vec<_> = names.iter().map(|name| quoted(name)).collect();
                patient.set(node, "synchronous_standby_names", &format!("ANY 1 ({})", quoted.join(", ")))
            }
        };
        match quorum.state {
            SyncState::Unknown => None,
            SyncState::Unsatisfied => {
                let (needed, there) = (quorum.required.unwrap_or(0), quorum.candidates.unwrap_or(0));
                Some(Judged::Ill(
                    format!("commits wait for {needed} standbys, and {there} of those named are there"),
                    fix(),
                ))
            }
            SyncState::Satisfied | SyncState::Off => Some(Judged::Well),
        }
    })
}
