//! Check `conninfo_missing`.

use super::*;

/// Each standby has a source of WAL.
pub static CHECK: Check = Check {
    id: "conninfo_missing",
    severity: Severity::Error,
    title: "each standby has a source of WAL",
    seen: "primary_conninfo and restore_command of each standby.",
    why: "With neither, a standby replays what lies in its pg_wal and then waits for ever.",
    fix: "Set primary_conninfo on the standby to the primary's address and the replication role; no restart is needed from 13 on.",
    versions: "Before 12 both stand in recovery.conf, where no query sees them: unknown. In 12 a change needs a restart.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let conninfo = patient.conninfo(node)?;
        let restores = patient.settings(node)?.restore_command_set;
        let address = patient.primary().and_then(|primary| patient.evidence.layout.members[primary].address.clone());
        let (host, port) = address.as_deref().and_then(|address| address.rsplit_once(':')).unwrap_or(("<primary>", "5432"));
        let user = patient.replication_role().unwrap_or("<replication role>");
        let name = &patient.evidence.layout.members[node].application_name;
        let fix = || {
            let words = format!("ALTER SYSTEM SET primary_conninfo = 'host={host} port={port} user={user} password=… application_name={name}', then SELECT pg_reload_conf() (12: restart)");
            patient.words(node, words)
        };
        Some(ill_if(!conninfo.is_set && !restores, || "primary_conninfo and restore_command are both empty".to_owned(), fix))
    })
}
