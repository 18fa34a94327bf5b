//! Check `settings_drift`.

use super::*;

/// Settings that a failover would change are the same everywhere.
pub static CHECK: Check = Check {
    id: "settings_drift",
    severity: Severity::Note,
    title: "settings that a failover would change are the same everywhere",
    seen: "The settings with the rule equal in docs/settings.md, each standby's against the primary's; those that must not be lower too, where a standby's is higher.",
    why: "After a failover the standby's values are the cluster's: another synchronous_commit or wal_keep_size comes as a surprise.",
    fix: "Set it on the standby to the primary's value; a restart where the setting needs one.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let (primary, comparison) = (patient.primary()?, patient.verdicts(node).settings.as_ref()?);
        if comparison.drift.is_empty() {
            return None;
        }
        let differs = comparison.drift.iter().filter(|(name, differs)| **differs && comparison.too_low.get(*name) != Some(&true));
        let names: Vec<_> = differs.map(|(name, _)| *name).collect();
        let fix = || patient.words(node, format!("compare with {}: SELECT name, setting, unit, context FROM pg_settings WHERE name IN ('{}'), and ALTER SYSTEM SET what should be the same", patient.name(primary), names.join("', '")));
        Some(ill_if(!names.is_empty(), || format!("other than the primary's: {}", names.join(", ")), fix))
    })
}
