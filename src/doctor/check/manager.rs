//! Check `manager`.

use super::*;
use crate::runbook::manager::detect::Kind;

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
        let named = patient.evidence.layout.manager.filter(|manager| *manager != "none");
        let fix = || match written(seen.kind) {
            Some(line) => elsewhere(&format!("write {line} into the cluster's config, and reload pgvigil")),
            None => elsewhere("the config has no word for it: let no runbook be more than a dry run beside it"),
        };
        Some(ill_if(named.is_none(), || format!("{} is there: {}", seen.kind.as_str(), seen.by), fix))
    })
}

/// What the config says of it, with what a person knows left out.
fn written(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Patroni => Some("manager: {patroni: {urls: [http://<a member>:8008]}}"),
        Kind::Repmgr => Some("manager: {repmgr: {}}"),
        Kind::PgAutoFailover => Some("manager: {pg_auto_failover: {}}"),
        Kind::CloudNativePg => None,
    }
}
