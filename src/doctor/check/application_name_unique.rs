//! Check `application_name_unique`.

use super::*;

/// Each standby has its own application_name.
pub static CHECK: Check = Check {
    id: "application_name_unique",
    severity: Severity::Error,
    title: "each standby has its own application_name",
    seen: "The names under which walsenders are connected, and those in primary_conninfo.",
    why: "synchronous_standby_names picks by name: with two of one name nobody knows which of them a commit waited for.",
    fix: "Give each standby its own application_name in primary_conninfo, or its own cluster_name.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    let conflicts = patient.assessment.standbys.iter().filter(|standby| standby.name_conflict);
    let shared: Vec<_> = conflicts.map(|standby| standby.standby.as_str()).collect();
    patient.on_primary(|_| {
        let seen = || format!("several walsenders are called {}", shared.join(", "));
        let fix = || elsewhere("on each of these standbys: ALTER SYSTEM SET cluster_name = '<its own name>' and restart, or another application_name in primary_conninfo and SELECT pg_reload_conf()");
        Some(ill_if(!shared.is_empty(), seen, fix))
    })
}
