//! Check `pending_restart`.

use super::*;

/// No setting awaits a restart.
pub static CHECK: Check = Check {
    id: "pending_restart",
    severity: Severity::Warning,
    title: "no setting awaits a restart",
    seen: "pg_settings.pending_restart on every node.",
    why: "The next restart, planned or not, brings another server than the one that is known to work; a failover is one.",
    fix: "Restart at a good time, or take the change back. A setting of settings_lower that is raised comes to the standbys first: before 14 those that are left behind shut down.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let pending = patient.settings(node)?.pending_restart?;
        let known = patient.settings(node)?.known.iter().filter(|(_, setting)| setting.pending_restart == Some(true));
        let names: Vec<_> = known.map(|(name, _)| *name).collect();
        let which = if names.is_empty() { String::new() } else { format!(", among them {}", names.join(", ")) };
        Some(ill_if(
            pending > 0,
            || format!("{pending} settings await a restart{which}"),
            || vec![patient.restart(node)],
        ))
    })
}
