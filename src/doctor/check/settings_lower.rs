//! Check `settings_lower`.

use super::*;

/// No setting of a standby is lower than replay needs.
pub static CHECK: Check = Check {
    id: "settings_lower",
    severity: Severity::Error,
    title: "no setting of a standby is lower than replay needs",
    seen: "max_connections, max_worker_processes, max_wal_senders, max_prepared_transactions and max_locks_per_transaction against the primary's.",
    why: "When the primary's next change of them arrives, replay stops (14 and later) or the standby shuts down.",
    fix: "Raise it on the standby to the primary's value and restart the standby.",
    versions: "From 14 on a running standby pauses its replay; before, it shuts down. None starts with a lower value.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let (primary, comparison) = (patient.primary()?, patient.verdicts(node).settings.as_ref()?);
        if comparison.too_low.is_empty() {
            return None;
        }
        let low = || comparison.too_low.iter().filter(|(_, low)| **low).map(|(name, _)| *name);
        let (mut seen, mut fix) = (Vec::new(), Vec::new());
        for name in low() {
            let (own, primarys) = (patient.number(node, name)?, patient.number(primary, name)?);
            seen.push(format!("{name} is {own}, the primary has {primarys}"));
            fix.push(patient.sql(node, format!("ALTER SYSTEM SET {name} = '{primarys}'")));
        }
        fix.push(patient.restart(node));
        Some(ill_if(!seen.is_empty(), || seen.join("; "), || fix))
    })
}
