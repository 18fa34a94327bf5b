//! Check `hot_standby`.

use super::*;

/// Hot_standby is on.
pub static CHECK: Check = Check {
    id: "hot_standby",
    severity: Severity::Error,
    title: "hot_standby is on",
    seen: "hot_standby on every node; on a primary it counts once it is a standby.",
    why: "A standby with it off takes no connections at all: nobody can read it, and nobody can see how it is.",
    fix: "ALTER SYSTEM SET hot_standby = 'on' and restart.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let off = patient.number(node, "hot_standby")? == 0.0;
        Some(ill_if(off, || "hot_standby is off".to_owned(), || patient.set_and_restart(node, "hot_standby", "on")))
    })
}
