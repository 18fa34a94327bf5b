//! Check `slot_used`.

use super::*;

/// Something keeps the WAL that a standby still needs.
pub static CHECK: Check = Check {
    id: "slot_used",
    severity: Severity::Warning,
    title: "something keeps the WAL that a standby still needs",
    seen: "A standby that streams without a slot, has no restore_command, and whose upstream keeps no wal_keep_size.",
    why: "After an outage of a few checkpoints the WAL is removed and the standby must be made anew.",
    fix: "Give it a slot: make one on the upstream and name it in primary_slot_name.",
    versions: "primary_slot_name needs a restart in 12, a reload from 13 on. Before 13 the setting is wal_keep_segments.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let (chart, settings, primary) = (patient.chart(node)?, patient.settings(node)?, patient.primary()?);
        let kept = patient.number(primary, "wal_keep_size").or_else(|| patient.number(primary, "wal_keep_segments"))?;
        let bare = chart.primary_slot_name.is_none() && !settings.restore_command_set && kept == 0.0;
        let slot = &patient.evidence.layout.members[node].slot;
        let fix = || {
            let mut fix = Vec::new();
            if patient.snapshot(primary).slots().iter().all(|known| known.name != *slot) {
                fix.push(patient.make_slot(primary, slot));
            }
            fix.extend(patient.set(node, "primary_slot_name", slot));
            fix
        };
        Some(ill_if(
            bare,
            || {
                "it has no slot and no restore_command, and the primary keeps no WAL for it (wal_keep_size is 0)"
                    .to_owned()
            },
            fix,
        ))
    })
}
