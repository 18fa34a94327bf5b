//! Check `archive_hung`.

use super::*;

/// The archiver moves.
pub static CHECK: Check = Check {
    id: "archive_hung",
    severity: Severity::Error,
    title: "the archiver moves",
    seen: "A segment has waited for longer than archive_hung_after while no counter of pg_stat_archiver moved.",
    why: "A command that never returns archives nothing, counts no failure, and holds up a stop of the server.",
    fix: "Find the archiver's child process and what it waits for, often a network file system; give the command a timeout.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    archive(
        patient,
        ArchiveState::Hung,
        "a segment waits, and no counter moves",
        "on its machine: ps --ppid <pid of the archiver> shows the command; end it, and put a timeout in front: archive_command = 'timeout 60 …'",
    )
}
