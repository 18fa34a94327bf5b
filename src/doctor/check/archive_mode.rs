//! Check `archive_mode`.

use super::*;

/// WAL is archived.
pub static CHECK: Check = Check {
    id: "archive_mode",
    severity: Severity::Warning,
    title: "WAL is archived",
    seen: "archive_mode of the primary.",
    why: "Without an archive nothing can be restored to a point in time, and a standby that was away for too long must be made anew.",
    fix: "Set an archive_command (or archive_library) that keeps each segment, archive_mode = on, and restart.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_primary(|node| {
        let off = patient.word(node, "archive_mode")? == "off";
        let fix = || {
            let mut fix = patient.words(node, "ALTER SYSTEM SET archive_command to one that keeps each segment, such as pgbackrest --stanza=… archive-push %p");
            fix.extend(patient.set_and_restart(node, "archive_mode", "on"));
            fix
        };
        Some(ill_if(off, || "archive_mode is off".to_owned(), fix))
    })
}
