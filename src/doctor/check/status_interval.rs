//! Check `status_interval`.

use super::*;

/// Standbys say how far they are.
pub static CHECK: Check = Check {
    id: "status_interval",
    severity: Severity::Warning,
    title: "standbys say how far they are",
    seen: "wal_receiver_status_interval on every node.",
    why: "With 0 a standby tells its position only when asked: lags look stale, slots keep WAL for longer, and synchronous commits wait.",
    fix: "Set it to 10 s, the default.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let off = patient.settings(node)?.wal_receiver_status_interval == 0.0;
        Some(ill_if(
            off,
            || "wal_receiver_status_interval is 0".to_owned(),
            || patient.set(node, "wal_receiver_status_interval", "10s"),
        ))
    })
}
