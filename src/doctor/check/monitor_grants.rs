//! Check `monitor_grants`.

use super::*;

/// Pgvigil may see what it needs.
pub static CHECK: Check = Check {
    id: "monitor_grants",
    severity: Severity::Warning,
    title: "pgvigil may see what it needs",
    seen: "Whether its role has the rights of pg_monitor on every node.",
    why: "Without them positions, walsenders and what waits for the archiver are hidden: many verdicts are unknown.",
    fix: "GRANT pg_monitor to the role on the primary.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let privileges = &patient.snapshot(node).privileges.as_ref()?.value;
        let role = quoted(&privileges.role);
        let at = patient.primary().unwrap_or(node);
        let fix = || vec![patient.sql(at, format!("GRANT pg_monitor TO {role}"))];
        Some(ill_if(!privileges.pg_monitor, || format!("the role {role} does not have pg_monitor"), fix))
    })
}
