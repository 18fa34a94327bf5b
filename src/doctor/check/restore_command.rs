//! Check `restore_command`.

use super::*;

/// Standbys can restore what the primary no longer has.
pub static CHECK: Check = Check {
    id: "restore_command",
    severity: Severity::Note,
    title: "standbys can restore what the primary no longer has",
    seen: "restore_command of each standby while the primary archives.",
    why: "A standby that was away for longer than the primary keeps WAL could catch up from the archive, and must be made anew without it.",
    fix: "Set restore_command on the standby to the counterpart of archive_command.",
    versions: "From 12 on; a restart in 12 and 13, a reload from 14 on. Before 12 it is in recovery.conf: unknown.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let archives = patient.word(patient.primary()?, "archive_mode")? != "off";
        let set = patient.settings(node)?.restore_command_set;
        if patient.version(node)?.major() < 12 {
            return None;
        }
        let fix = || patient.words(node, "ALTER SYSTEM SET restore_command to the counterpart of the primary's archive_command, then SELECT pg_reload_conf() (before 14: restart)");
        Some(ill_if(archives && !set, || "the primary archives, and restore_command is empty".to_owned(), fix))
    })
}
