//! Check `monitor_superuser`.

use super::*;

/// Pgvigil watches as no superuser.
pub static CHECK: Check = Check {
    id: "monitor_superuser",
    severity: Severity::Note,
    title: "pgvigil watches as no superuser",
    seen: "rolsuper of its role on every node.",
    why: "What only looks needs no right to change.",
    fix: "A role of its own with pg_monitor in the dsn; see deploy/grants.sql.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let privileges = &patient.snapshot(node).privileges.as_ref()?.value;
        let fix = || {
            patient.words(
                node,
                "CREATE ROLE pgvigil LOGIN PASSWORD '…' IN ROLE pg_monitor on the primary, and name it in the dsn",
            )
        };
        Some(ill_if(privileges.superuser, || format!("it logs in as {}, a superuser", privileges.role), fix))
    })
}
