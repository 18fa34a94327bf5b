//! Check `settings_drift`.

use super::*;
use crate::collector::setting_list::{KNOWN, Kind};
use crate::collector::settings::Value;

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
        let differs =
            comparison.drift.iter().filter(|(name, differs)| **differs && comparison.too_low.get(*name) != Some(&true));
        let names: Vec<_> = differs.map(|(name, _)| *name).collect();
        let primarys = &patient.settings(primary)?.known;
        let fix = || {
            let (mut fix, mut restarts) = (Vec::new(), false);
            for name in &names {
                match (*name, primarys.get(name)) {
                    ("data_checksums", _) => fix.extend(patient.words(
                        node,
                        "data_checksums: pg_checksums on each stopped server, so that all have them or none",
                    )),
                    (_, Some(setting)) => {
                        restarts |= setting.pending_restart.is_some();
                        fix.push(patient.alter(node, name, &written(name, setting.value)));
                    }
                    (_, None) => {}
                }
            }
            fix.push(if restarts { patient.restart(node) } else { patient.load(node) });
            fix
        };
        Some(ill_if(!names.is_empty(), || format!("other than the primary's: {}", names.join(", ")), fix))
    })
}

/// A value as ALTER SYSTEM takes it.
fn written(name: &str, value: Value) -> String {
    let kind = KNOWN.iter().find(|known| known.name == name).map(|known| known.kind);
    match (kind, value) {
        (_, Value::Word(word)) => word.to_owned(),
        (Some(Kind::Seconds), Value::Number(seconds)) if seconds > 0.0 => format!("{}ms", (seconds * 1000.0).round()),
        (Some(Kind::Bytes), Value::Number(bytes)) if bytes > 0.0 => format!("{}kB", (bytes / 1024.0).round()),
        (_, Value::Number(number)) => number.to_string(),
    }
}
