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
        let mismatches = |node: usize| patient.chart(node)?.collation_mismatches.as_deref();
        let (own, primary) = (mismatches(node)?, patient.primary()?);
        let primarys = mismatches(primary)?;
        let fix = || {
            let mut fix = Vec::new();
            for database in own.iter().filter(|database| primarys.contains(database)) {
                let name = quoted(database);
                fix.push(patient.sql_in(primary, database, format!("REINDEX DATABASE {name}")));
                fix.push(patient.sql_in(primary, database, format!("ALTER DATABASE {name} REFRESH COLLATION VERSION")));
            }
            if own.iter().any(|database| !primarys.contains(database)) {
                fix.extend(patient.words(node, "bring its operating system to the release of the primary's"));
            }
            fix
        };
        let seen = || format!("made with another version of their collation: {}", own.join(", "));
        Some(ill_if(!own.is_empty(), seen, fix))
    })
}
