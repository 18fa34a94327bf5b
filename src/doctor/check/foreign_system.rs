//! Check `foreign_system`.

use super::*;

/// All nodes are of one system.
pub static CHECK: Check = Check {
    id: "foreign_system",
    severity: Severity::Error,
    title: "all nodes are of one system",
    seen: "system_identifier of each control file.",
    why: "A server with another identifier was made by another initdb: it never was a copy, and cannot become one.",
    fix: "Correct the dsn, or make the standby anew with pg_basebackup.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let verdict = patient.verdicts(node).lineage.foreign_system;
        match verdict {
            Verdict::No => Some(Judged::Well),
            Verdict::Yes => Some(Judged::Ill(
                "its system identifier is another one than the primary's".to_owned(),
                patient.words(
                    node,
                    "correct its dsn in the config; if it is the right server, make it anew: pg_basebackup -R",
                ),
            )),
            Verdict::Unknown => None,
        }
    })
}
