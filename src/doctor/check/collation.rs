//! Check `collation`.

use super::*;

/// Collations are of the library that made the indexes.
pub static CHECK: Check = Check {
    id: "collation",
    severity: Severity::Warning,
    title: "collations are of the library that made the indexes",
    seen: "datcollversion of every database against what the machine's library says.",
    why: "Another glibc or ICU sorts otherwise: indexes on text made on one machine miss rows on another.",
    fix: "Run the same operating system release on all nodes; on the primary REINDEX and ALTER DATABASE … REFRESH COLLATION VERSION.",
    versions: "From 15 on.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        if patient.version(node)?.major() < 15 {
            return Some(Judged::Skip);
        }
        let mismatches = patient.chart(node)?.collation_mismatches?;
        let fix = || patient.words(node, "bring its operating system to the release of the node that made the indexes; or REINDEX DATABASE and ALTER DATABASE … REFRESH COLLATION VERSION on the primary");
        Some(ill_if(mismatches > 0, || format!("{mismatches} databases were made with another version of their collation"), fix))
    })
}
