//! Check `manager`.

use super::*;

/// The config names the cluster manager.
pub static CHECK: Check = Check {
    id: "manager",
    severity: Severity::Warning,
    title: "the config names the cluster manager",
    seen: "Traces of Patroni, repmgr, pg_auto_failover and CloudNativePG in each server, against manager: of the config.",
    why: "Two who fail over at once make two primaries. A runbook acts only where the config says who does.",
    fix: "Write manager: into the cluster's config; with manager: none for none.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let Some(seen) = patient.told(node)?.manager.as_ref()? else { return Some(Judged::Well) };
        let is_named = !["none", UNWRITTEN].contains(&patient.manager?);
        let fix = || elsewhere("write manager: into the cluster's config, and reload pgvigil");
        Some(ill_if(!is_named, || format!("{} is there: {}", seen.kind.as_str(), seen.by), fix))
    })
}
