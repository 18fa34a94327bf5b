//! Check `archive_failing`.

use super::*;

/// The archive_command succeeds.
pub static CHECK: Check = Check {
    id: "archive_failing",
    severity: Severity::Error,
    title: "the archive_command succeeds",
    seen: "pg_stat_archiver: the last attempt failed, and segments wait.",
    why: "WAL piles up on the primary, and pg_backup_stop() waits for its segments for hours.",
    fix: "The server log has the command's own error. Run it by hand as the server's user.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    archive(
        patient,
        ArchiveState::Failing,
        "the last attempt failed, and segments wait",
        "read the server log for the command's own error, and correct it: ALTER SYSTEM SET archive_command, then SELECT pg_reload_conf()",
    )
}
