//! Check `slot_inactive`.

use super::*;

/// No slot keeps WAL for nobody.
pub static CHECK: Check = Check {
    id: "slot_inactive",
    severity: Severity::Warning,
    title: "no slot keeps WAL for nobody",
    seen: "Physical and logical slots of the primary that hold WAL and are not in use; temporary ones and those that the server synchronises are left out.",
    why: "It keeps all WAL since its last reader left, until the disk is full.",
    fix: "If its reader is gone for good, drop it; else bring the reader back.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_primary(|node| {
        let slots = &patient.snapshot(node).slots.as_ref()?.value;
        let idle = slots.iter().filter(|slot| {
            !slot.active && !slot.temporary && slot.restart_lsn.is_some() && slot.wal_status.as_deref() != Some("lost")
        });
        let names: Vec<_> = idle.map(|slot| slot.name.as_str()).collect();
        let of_members: Vec<_> = names
            .iter()
            .filter(|name| patient.evidence.layout.members.iter().any(|member| member.slot == **name))
            .collect();
        let fix = || {
            let gone = names.iter().filter(|name| !of_members.contains(name));
            let mut fix: Vec<_> = gone.map(|name| patient.drop_slot(node, name)).collect();
            if !of_members.is_empty() {
                fix.extend(elsewhere("bring back the standbys whose slots these are"));
            }
            fix
        };
        Some(ill_if(!names.is_empty(), || format!("not in use and holding WAL: {}", names.join(", ")), fix))
    })
}
