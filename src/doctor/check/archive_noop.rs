//! Check `archive_noop`.

use super::*;

/// The archive_command keeps what it is given.
pub static CHECK: Check = Check {
    id: "archive_noop",
    severity: Severity::Error,
    title: "the archive_command keeps what it is given",
    seen: "archive_command in one of the forms that succeed and keep nothing: cd ., true, /bin/true, exit 0, a comment, echo.",
    why: "The server takes each segment for archived and removes it: there is no archive, though every counter says that there is.",
    fix: "Set a command that keeps the segment; what was written until then is not in the archive: make a new base backup.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    archive(
        patient,
        ArchiveState::Noop,
        "archive_command succeeds and keeps nothing",
        "ALTER SYSTEM SET archive_command to one that keeps each segment, SELECT pg_reload_conf(), and make a new base backup",
    )
}
