//! Check `recovery_target_timeline`.

use super::*;

/// Standbys follow to a new timeline.
pub static CHECK: Check = Check {
    id: "recovery_target_timeline",
    severity: Severity::Error,
    title: "standbys follow to a new timeline",
    seen: "recovery_target_timeline on every node; on a primary it counts once it is a standby.",
    why: "With current or a number a standby stays on the old timeline after a failover, and follows nobody.",
    fix: "Set it to latest and restart.",
    versions: "From 12 on; before, it is in recovery.conf and current by default: unknown.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let target = patient.word(node, "recovery_target_timeline")?;
        let fix = || patient.set_and_restart(node, "recovery_target_timeline", "latest");
        Some(ill_if(target != "latest", || format!("recovery_target_timeline is {target}"), fix))
    })
}
