//! Check `archive_timeout`.

use super::*;

/// Quiet hours are archived too.
pub static CHECK: Check = Check {
    id: "archive_timeout",
    severity: Severity::Note,
    title: "quiet hours are archived too",
    seen: "archive_timeout of a primary that archives.",
    why: "With 0 a segment is archived when it is full: on a quiet night the newest hours are on the primary's disk alone, and pg_backup_stop() may wait for ever.",
    fix: "archive_timeout = 60s to 5min.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_primary(|node| {
        let (mode, timeout) = (patient.word(node, "archive_mode")?, patient.number(node, "archive_timeout")?);
        Some(ill_if(
            mode != "off" && timeout == 0.0,
            || "archive_timeout is 0".to_owned(),
            || patient.set(node, "archive_timeout", "5min"),
        ))
    })
}
