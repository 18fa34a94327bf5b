//! Check `recovery_target`.

use super::*;

/// No standby is told to end its recovery.
pub static CHECK: Check = Check {
    id: "recovery_target",
    severity: Severity::Warning,
    title: "no standby is told to end its recovery",
    seen: "recovery_target, recovery_target_lsn, _name, _time and _xid on every node.",
    why: "At that point a standby pauses, promotes itself or shuts down, by recovery_target_action. They are left-overs of a restore.",
    fix: "Set them to nothing, and restart.",
    versions: "From 12 on; before, they are in recovery.conf: unknown.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let targets = &patient.chart(node)?.recovery_targets;
        let fix = || {
            let mut fix: Vec<_> = targets.iter().map(|name| patient.alter(node, name, "")).collect();
            fix.push(patient.restart(node));
            fix
        };
        Some(ill_if(!targets.is_empty(), || format!("set: {}", targets.join(", ")), fix))
    })
}
