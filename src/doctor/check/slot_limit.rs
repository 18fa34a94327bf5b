//! Check `slot_limit`.

use super::*;

/// Slots cannot fill the disk.
pub static CHECK: Check = Check {
    id: "slot_limit",
    severity: Severity::Note,
    title: "slots cannot fill the disk",
    seen: "max_slot_wal_keep_size on a primary that has slots.",
    why: "-1 lets one slot whose reader is away keep WAL until the disk is full and the primary stops.",
    fix: "Set max_slot_wal_keep_size to what the disk of pg_wal can spare. A standby that is away for longer must then be made anew.",
    versions: "From 13 on.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_primary(|node| {
        if patient.version(node)?.major() < 13 {
            return Some(Judged::Skip);
        }
        let limit = patient.number(node, "max_slot_wal_keep_size")?;
        let has_slots = patient.snapshot(node).slots.as_ref()?.value.iter().any(|slot| !slot.temporary);
        let fix = || patient.set(node, "max_slot_wal_keep_size", "64GB");
        Some(ill_if(has_slots && limit < 0.0, || "max_slot_wal_keep_size is -1: without a limit".to_owned(), fix))
    })
}
