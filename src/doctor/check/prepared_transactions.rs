//! Check `prepared_transactions`.

use super::*;

/// No prepared transaction is forgotten.
pub static CHECK: Check = Check {
    id: "prepared_transactions",
    severity: Severity::Warning,
    title: "no prepared transaction is forgotten",
    seen: "pg_prepared_xacts of the primary: the oldest.",
    why: "It holds its locks and keeps rows from being vacuumed through restarts and failovers.",
    fix: "COMMIT PREPARED or ROLLBACK PREPARED, as whoever prepared it says.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_primary(|node| {
        let oldest = patient.chart(node)?.oldest_prepared.unwrap_or(0.0);
        let fix = || patient.words(node, "SELECT gid, prepared, owner, database FROM pg_prepared_xacts; then ROLLBACK PREPARED '<gid>' or COMMIT PREPARED '<gid>' in that database");
        Some(ill_if(oldest > 3600.0, || format!("one was prepared {oldest:.0} s ago"), fix))
    })
}
