//! Check `synchronous_commit`.

use super::*;

/// Synchronous standbys are waited for.
pub static CHECK: Check = Check {
    id: "synchronous_commit",
    severity: Severity::Warning,
    title: "synchronous standbys are waited for",
    seen: "synchronous_commit of a primary whose synchronous_standby_names is not empty.",
    why: "With off or local a commit waits for nobody: the names promise what is not kept, and a failover loses commits that were acknowledged.",
    fix: "synchronous_commit = on; sessions that want less set it for themselves.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_primary(|node| {
        let sync = &patient.snapshot(node).sync.as_ref()?.value;
        let decoration =
            !sync.standby_names.trim().is_empty() && matches!(sync.synchronous_commit.as_str(), "off" | "local");
        let seen =
            || format!("synchronous_commit is {}, and synchronous_standby_names is not empty", sync.synchronous_commit);
        Some(ill_if(decoration, seen, || patient.set(node, "synchronous_commit", "on")))
    })
}
