//! Check `write_visible`.

use super::*;
use crate::cluster::visible::Unseen;

/// What is written shows on every standby.
pub static CHECK: Check = Check {
    id: "write_visible",
    severity: Severity::Error,
    title: "what is written shows on every standby",
    seen: "The write probe (--write-probe, or write_probe in the config): a row that is written on the primary shows on each standby within 5 s. Standbys that delay replay by their settings are passed over.",
    why: "Every figure may look well while no data arrives: this is the proof.",
    fix: "See what else is found about the standby: streaming, replay_paused, needed_wal; and whether replay keeps up.",
    versions: "Every version that pgvigil reads. It needs the table of deploy/write-probe.sql and an admin_dsn for every node; else unknown.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every_even_down(|node| {
        let Some(visible) = patient.visible(node).filter(|_| patient.primary() != Some(node)) else {
            return Judged::Skip;
        };
        match &visible.seconds {
            Ok(_) => Judged::Well,
            Err(late @ Unseen::Late(_)) => {
                if patient.number(node, "recovery_min_apply_delay").is_some_and(|delay| delay > 0.0) {
                    return Judged::Skip;
                }
                let fix = "do as the other findings about it say; else look at the load of its disks";
                Judged::Ill(late.to_string(), patient.words(node, fix))
            }
            Err(unclear) => Judged::Unclear(unclear.to_string()),
        }
    })
}
