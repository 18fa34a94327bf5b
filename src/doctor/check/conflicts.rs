//! Check `conflicts`.

use super::*;

/// Replay cancels no queries.
pub static CHECK: Check = Check {
    id: "conflicts",
    severity: Severity::Note,
    title: "replay cancels no queries",
    seen: "pg_stat_database_conflicts of each standby with hot_standby_feedback off.",
    why: "Queries on the standby fail with canceling statement due to conflict with recovery.",
    fix: "hot_standby_feedback = on, at the price of bloat on the primary while long queries run on the standby.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let feedback = patient.number(node, "hot_standby_feedback")? != 0.0;
        let conflicts = &patient.snapshot(node).conflicts.as_ref()?.value;
        let by_rows = conflicts.snapshot;
        let seen = || format!("{by_rows} queries were cancelled because the primary removed rows that they could see");
        Some(ill_if(by_rows > 0 && !feedback, seen, || patient.set(node, "hot_standby_feedback", "on")))
    })
}
