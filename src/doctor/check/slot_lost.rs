//! Check `slot_lost`.

use super::*;

/// No slot has lost its WAL.
pub static CHECK: Check = Check {
    id: "slot_lost",
    severity: Severity::Error,
    title: "no slot has lost its WAL",
    seen: "wal_status of the slots of every node.",
    why: "Its reader cannot go on: a standby must catch up from the archive or be made anew, a subscription must be copied anew.",
    fix: "Drop the slot, and make it again when its reader is made anew.",
    versions: "From 13 on.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let slots = &patient.snapshot(node).slots.as_ref()?.value;
        let lost: Vec<_> = slots
            .iter()
            .filter(|slot| slot.wal_status.as_deref() == Some("lost"))
            .map(|slot| slot.name.as_str())
            .collect();
        let fix = || lost.iter().map(|name| patient.drop_slot(node, name)).collect();
        Some(ill_if(!lost.is_empty(), || format!("lost: {}", lost.join(", ")), fix))
    })
}
