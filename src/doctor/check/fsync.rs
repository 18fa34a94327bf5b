//! Check `fsync`.

use super::*;

/// Commits reach the disk.
pub static CHECK: Check = Check {
    id: "fsync",
    severity: Severity::Error,
    title: "commits reach the disk",
    seen: "fsync on every node.",
    why: "With off a crash of the machine loses commits that were acknowledged, or the whole data directory.",
    fix: "fsync = on.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let off = patient.number(node, "fsync")? == 0.0;
        Some(ill_if(off, || "fsync is off".to_owned(), || patient.set(node, "fsync", "on")))
    })
}
