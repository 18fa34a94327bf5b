//! Check `replication_role`.

use super::*;

/// The role of each standby may replicate.
pub static CHECK: Check = Check {
    id: "replication_role",
    severity: Severity::Error,
    title: "the role of each standby may replicate",
    seen: "pg_roles of the primary for the user of each standby's primary_conninfo: it exists, may log in, has REPLICATION, and has not expired.",
    why: "The walreceiver is refused at each try; a running stream goes on until its next reconnect.",
    fix: "ALTER ROLE … LOGIN REPLICATION, or VALID UNTIL 'infinity', on the primary.",
    versions: "Before 12 primary_conninfo is in recovery.conf: unknown.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let conninfo = patient.conninfo(node)?;
        let Some(user) = conninfo.user.as_deref().filter(|_| conninfo.is_set) else { return Some(Judged::Skip) };
        let primary = patient.primary()?;
        let quoted = quoted(user);
        let alter = |what: &str| vec![patient.sql(primary, format!("ALTER ROLE {quoted} {what}"))];
        let role = patient.told(primary)?.roles.as_ref()?.iter().find(|role| role.name == user);
        Some(match role {
            None => {
                let words = format!("ALTER ROLE {quoted} LOGIN REPLICATION; if there is no such role: CREATE ROLE {quoted} LOGIN REPLICATION PASSWORD '…'");
                Judged::Ill(format!("{user} has no REPLICATION on {}, or does not exist", patient.name(primary)), patient.words(primary, words))
            }
            Some(role) if !role.can_login => Judged::Ill(format!("{user} may not log in"), alter("LOGIN")),
            Some(role) if !role.replication && !role.superuser => Judged::Ill(format!("{user} has no REPLICATION"), alter("REPLICATION")),
            Some(role) if role.expired => Judged::Ill(format!("{user} has expired: no password of it is good"), alter("VALID UNTIL 'infinity'")),
            Some(_) => Judged::Well,
        })
    })
}
