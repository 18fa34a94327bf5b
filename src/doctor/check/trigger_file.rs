//! Check `trigger_file`.

use super::*;

/// No file can promote a standby.
pub static CHECK: Check = Check {
    id: "trigger_file",
    severity: Severity::Note,
    title: "no file can promote a standby",
    seen: "promote_trigger_file on every node.",
    why: "Whoever can write that file promotes the standby, and the setting is gone in 16: a server with it in its configuration does not start after the upgrade.",
    fix: "Set it to nothing, and before an upgrade take it out of the files; promote with pg_promote().",
    versions: "12 to 15. Before 12 it is trigger_file in recovery.conf, from 16 on there is none.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let fix = || patient.set(node, "promote_trigger_file", "");
        match patient.chart(node)?.trigger_file {
            None => Some(Judged::Skip),
            Some(set) => Some(ill_if(set, || "promote_trigger_file is set".to_owned(), fix)),
        }
    })
}
