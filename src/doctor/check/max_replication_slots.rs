//! Check `max_replication_slots`.

use super::*;

/// There is a slot for every standby and one to spare.
pub static CHECK: Check = Check {
    id: "max_replication_slots",
    severity: Severity::Warning,
    title: "there is a slot for every standby and one to spare",
    seen: "max_replication_slots on every node against the standbys of the config, and those that exist.",
    why: "A standby without a slot may find its WAL removed; at the limit none can be made.",
    fix: "Raise max_replication_slots and restart, or drop slots that nobody uses.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let limit = patient.number(node, "max_replication_slots")?;
        let used = f64::from(patient.snapshot(node).limits.as_ref()?.value.slots.used);
        let needed = patient.evidence.layout.members.len() as f64;
        let short = limit < needed || used >= limit;
        let raised = (needed + 2.0).max(used + 2.0).max(10.0).to_string();
        let seen = || format!("max_replication_slots is {limit}, {used} exist, and {needed} should be possible");
        Some(ill_if(short, seen, || patient.set_and_restart(node, "max_replication_slots", &raised)))
    })
}
