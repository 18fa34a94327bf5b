//! Check `rewind`.

use super::*;

/// An old primary can be rewound.
pub static CHECK: Check = Check {
    id: "rewind",
    severity: Severity::Warning,
    title: "an old primary can be rewound",
    seen: "data_checksums and wal_log_hints on every node.",
    why: "With neither, pg_rewind refuses, and an old primary comes back only by a whole base backup.",
    fix: "wal_log_hints = on and restart; or pg_checksums --enable on the stopped server.",
    versions: "From 18 on initdb makes checksums by default.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let (checksums, hints) = (patient.number(node, "data_checksums")?, patient.number(node, "wal_log_hints")?);
        let seen = || "neither checksums nor wal_log_hints: pg_rewind will refuse it".to_owned();
        Some(ill_if(checksums == 0.0 && hints == 0.0, seen, || patient.set_and_restart(node, "wal_log_hints", "on")))
    })
}
