//! Check `slot_named`.

use super::*;

/// The slot that a standby names exists.
pub static CHECK: Check = Check {
    id: "slot_named",
    severity: Severity::Error,
    title: "the slot that a standby names exists",
    seen: "primary_slot_name of each standby against pg_replication_slots of its upstream: the primary, where it follows that.",
    why: "The walreceiver is refused: replication slot does not exist. It tries again for ever.",
    fix: "Make the slot on the upstream.",
    versions: "Before 12 primary_slot_name is in recovery.conf: unknown.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let chart = patient.chart(node)?;
        let (Some(name), primary) = (chart.primary_slot_name.as_deref(), patient.primary()?) else {
            return Some(Judged::Skip);
        };
        if patient
            .verdicts(node)
            .upstream
            .as_ref()
            .is_some_and(|upstream| upstream.as_str() != patient.name(primary) && patient.streams(node))
        {
            return Some(Judged::Skip);
        }
        let slots = &patient.snapshot(primary).slots.as_ref()?.value;
        let missing = slots.iter().all(|slot| slot.name != name);
        let fix = || vec![patient.make_slot(primary, name)];
        Some(ill_if(
            missing,
            || format!("it names the slot {name}, which {} does not have", patient.name(primary)),
            fix,
        ))
    })
}
