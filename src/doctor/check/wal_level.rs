//! Check `wal_level`.

use super::*;

/// Wal_level is replica or logical.
pub static CHECK: Check = Check {
    id: "wal_level",
    severity: Severity::Error,
    title: "wal_level is replica or logical",
    seen: "wal_level on every node; on a standby it counts from its promotion on.",
    why: "With minimal there is no replication and no archive that can be restored from.",
    fix: "ALTER SYSTEM SET wal_level = 'replica' and restart; a base backup that is older is of no use to a standby.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let level = patient.word(node, "wal_level")?;
        Some(ill_if(
            level == "minimal",
            || "wal_level is minimal".to_owned(),
            || patient.set_and_restart(node, "wal_level", "replica"),
        ))
    })
}
