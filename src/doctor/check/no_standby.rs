//! Check `no_standby`.

use super::*;

/// A standby streams from the primary.
pub static CHECK: Check = Check {
    id: "no_standby",
    severity: Severity::Error,
    title: "a standby streams from the primary",
    seen: "The nodes of the config, and the walsenders of the primary that feed standbys.",
    why: "With one copy the loss of one disk is the loss of the data since the last backup.",
    fix: "Make a standby with pg_basebackup -R and name it in the config; or find out why the one that there is does not connect.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_primary(|primary| {
        patient.snapshot(primary).walsenders.as_ref()?;
        let connected = patient.assessment.standbys.iter().filter(|standby| standby.connected).count();
        let address = patient.evidence.layout.members[primary].address.as_deref();
        let (host, port) = address.and_then(|address| address.rsplit_once(':')).unwrap_or(("<primary>", "5432"));
        let user = patient.replication_role().unwrap_or("<replication role>");
        let fix = || {
            elsewhere(&format!("on the machine of a standby: pg_basebackup -D <data directory> -R -C -S <slot> -d 'host={host} port={port} user={user}'; if there is one, see the check streaming"))
        };
        Some(ill_if(connected == 0, || "no standby is connected to it".to_owned(), fix))
    })
}
