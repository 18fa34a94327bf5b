//! Check `logical_failover`.

use super::*;

/// Logical slots outlive a failover.
pub static CHECK: Check = Check {
    id: "logical_failover",
    severity: Severity::Note,
    title: "logical slots outlive a failover",
    seen: "failover of each logical slot of the primary.",
    why: "After a failover a slot without it is gone, and its subscriber must be copied anew.",
    fix: "On the subscriber: ALTER SUBSCRIPTION … SET (failover = true), which 17 does while it is disabled; and sync_replication_slots = on on the standby.",
    versions: "From 17 on; before, no slot outlives a failover by itself.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_primary(|node| {
        if patient.version(node)?.major() < 17 {
            return Some(Judged::Skip);
        }
        let details = &patient.snapshot(node).slot_details.as_ref()?.value;
        let bare = details.iter().filter(|slot| slot.kind == "logical" && slot.failover == Some(false));
        let names: Vec<_> = bare.map(|slot| slot.name.as_str()).collect();
        let fix = || elsewhere("on the subscriber: ALTER SUBSCRIPTION <name> DISABLE; ALTER SUBSCRIPTION <name> SET (failover = true); ALTER SUBSCRIPTION <name> ENABLE; and on the standby sync_replication_slots = on");
        Some(ill_if(!names.is_empty(), || format!("a failover would lose {}", names.join(", ")), fix))
    })
}
