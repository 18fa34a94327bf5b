//! Check `replication_superuser`.

use super::*;

/// Standbys do not log in as a superuser.
pub static CHECK: Check = Check {
    id: "replication_superuser",
    severity: Severity::Note,
    title: "standbys do not log in as a superuser",
    seen: "The role of each standby's primary_conninfo.",
    why: "Its password lies in a file on every standby, and is good for everything.",
    fix: "CREATE ROLE … LOGIN REPLICATION, a rule for it in pg_hba.conf, and its name in primary_conninfo.",
    versions: "Before 12 primary_conninfo is in recovery.conf: unknown.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let conninfo = patient.conninfo(node)?;
        let Some(user) = conninfo.user.as_deref().filter(|_| conninfo.is_set) else { return Some(Judged::Skip) };
        let roles = patient.told(patient.primary()?)?.roles.as_ref()?;
        let superuser = roles.iter().any(|role| role.name == user && role.superuser);
        let fix = || patient.words(node, "CREATE ROLE replicator LOGIN REPLICATION PASSWORD '…' on the primary, a line for it in pg_hba.conf, and user=replicator in primary_conninfo");
        Some(ill_if(superuser, || format!("it logs in as {user}, a superuser"), fix))
    })
}
