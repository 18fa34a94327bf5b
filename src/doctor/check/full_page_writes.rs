//! Check `full_page_writes`.

use super::*;

/// Torn pages can be repaired.
pub static CHECK: Check = Check {
    id: "full_page_writes",
    severity: Severity::Error,
    title: "torn pages can be repaired",
    seen: "full_page_writes on every node.",
    why: "With off a crash in the middle of a page's write leaves it broken for good, and pg_rewind refuses.",
    fix: "full_page_writes = on.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let off = patient.number(node, "full_page_writes")? == 0.0;
        Some(ill_if(off, || "full_page_writes is off".to_owned(), || patient.set(node, "full_page_writes", "on")))
    })
}
