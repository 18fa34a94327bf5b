//! Check `apply_delay`.

use super::*;

/// No standby is delayed on purpose.
pub static CHECK: Check = Check {
    id: "apply_delay",
    severity: Severity::Note,
    title: "no standby is delayed on purpose",
    seen: "recovery_min_apply_delay of each standby.",
    why: "A delayed standby is a protection against mistakes and none for a failover: it is never chosen.",
    fix: "Have another standby without a delay for the failover; or set it to 0.",
    versions: "From 12 on; before, it is in recovery.conf.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let delay = patient.settings(node)?.recovery_min_apply_delay;
        let fix = || patient.set(node, "recovery_min_apply_delay", "0");
        Some(ill_if(delay > 0.0, || format!("it replays {delay} s late"), fix))
    })
}
