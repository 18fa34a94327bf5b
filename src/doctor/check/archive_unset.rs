//! Check `archive_unset`.

use super::*;

/// Archiving has a command.
pub static CHECK: Check = Check {
    id: "archive_unset",
    severity: Severity::Error,
    title: "archiving has a command",
    seen: "archive_mode on with neither archive_command nor archive_library.",
    why: "Every segment is kept for an archiver that has nothing to run: pg_wal grows until the disk is full.",
    fix: "Set archive_command or archive_library and reload.",
    versions: "archive_library from 15 on.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    archive(
        patient,
        ArchiveState::Unset,
        "archive_mode is on, and there is no archive_command and no archive_library",
        "ALTER SYSTEM SET archive_command to one that keeps each segment, then SELECT pg_reload_conf()",
    )
}
