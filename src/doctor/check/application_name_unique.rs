//! Check `application_name_unique`.

use super::*;

/// Each standby has its own application_name.
pub static CHECK: Check = Check {
    id: "application_name_unique",
    severity: Severity::Error,
    title: "each standby has its own application_name",
    seen: "The names under which walsenders are connected, and those in primary_conninfo.",
    why: "synchronous_standby_names picks by name: with two of one name nobody knows which of them a commit waited for.",
    fix: "Give each standby its own application_name in primary_conninfo: the one that the config has for it. Where primary_conninfo has none, its cluster_name counts.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_primary(|primary| {
        patient.snapshot(primary).walsenders.as_ref()?;
        // Also of those that are told apart by their slots: the server goes by the name alone.
        let mut names: Vec<_> =
            patient.walsenders(primary).map(|(walsender, _)| walsender.application_name.as_str()).collect();
        names.sort_unstable();
        let mut shared: Vec<_> = names.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect();
        shared.dedup();
        let own = |node: usize| {
            let (name, conninfo) = (&patient.evidence.layout.members[node].application_name, patient.conninfo(node)?);
            let is_its_own = conninfo.application_name.as_ref()? == name;
            if is_its_own { None } else { patient.reconnect(node, &[("application_name", name)]) }
        };
        let fix = || {
            let fix: Vec<_> = patient.standbys().filter_map(own).flatten().collect();
            if fix.is_empty() {
                return elsewhere("on each of these standbys another application_name in primary_conninfo, and SELECT pg_reload_conf(); where it has none there, ALTER SYSTEM SET cluster_name = '<its own name>' and restart");
            }
            fix
        };
        Some(ill_if(!shared.is_empty(), || format!("several walsenders are called {}", shared.join(", ")), fix))
    })
}
