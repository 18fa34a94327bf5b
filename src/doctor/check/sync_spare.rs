//! Check `sync_spare`.

use super::*;

/// A synchronous standby may fail.
pub static CHECK: Check = Check {
    id: "sync_spare",
    severity: Severity::Note,
    title: "a synchronous standby may fail",
    seen: "How many of the standbys that synchronous_standby_names may choose from are to spare.",
    why: "With none, the restart of one standby stops all commits.",
    fix: "Name one more standby than commits wait for: ANY 1 (b, c).",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_primary(|node| {
        let quorum = patient.verdicts(node).sync.as_ref()?;
        let none = quorum.state == SyncState::Satisfied && quorum.spare == Some(0);
        let mut names: Vec<_> =
            patient.walsenders(node).map(|(walsender, _)| quoted(&walsender.application_name)).collect();
        names.sort_unstable();
        names.dedup();
        let required = quorum.required.unwrap_or(1);
        let fix = || match names.len() > required as usize {
            true => patient.set(node, "synchronous_standby_names", &format!("ANY {required} ({})", names.join(", "))),
            false => elsewhere("make one more standby, and name it too in synchronous_standby_names of the primary"),
        };
        match quorum.state {
            SyncState::Unknown => None,
            _ => Some(ill_if(none, || "no standby that commits wait for is to spare".to_owned(), fix)),
        }
    })
}
