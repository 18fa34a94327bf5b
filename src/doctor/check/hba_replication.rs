//! Check `hba_replication`.

use super::*;

/// Pg_hba.conf of each possible primary lets the standbys in.
pub static CHECK: Check = Check {
    id: "hba_replication",
    severity: Severity::Error,
    title: "pg_hba.conf of each possible primary lets the standbys in",
    seen: "pg_hba_file_rules on every node: the first rule for the database replication that fits the role of each other node's primary_conninfo and its address. The word all does not mean replication.",
    why: "no pg_hba.conf entry for replication connection is the most frequent reason why a standby never shows up, and on a standby it shows at the failover.",
    fix: "Add a line host replication <role> <address>/32 scram-sha-256 to pg_hba.conf, above any that rejects it, and reload. A role whose password is still of md5 needs md5 in its place.",
    versions: "pg_hba_file_rules is for superusers: GRANT SELECT ON pg_hba_file_rules and GRANT EXECUTE ON FUNCTION pg_hba_file_rules() to pgvigil's role, or give an admin_dsn; else unknown.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let rules = patient.told(node)?.hba.as_ref()?;
        let mut refused = Vec::new();
        for other in patient.nodes().filter(|other| *other != node && patient.evidence.twin_of(*other).is_none()) {
            let Some((user, from)) = patient.replication_user().zip(patient.address(other)) else { continue };
            let line = match hba::replication(rules, &user, from) {
                Met::Nothing => format!("no rule lets {user} replicate from {from} ({})", patient.name(other)),
                Met::Rejected(rule) => {
                    format!("line {} rejects {user} from {from} ({})", rule.line, patient.name(other))
                }
                Met::Rule(_) | Met::Unclear(_) => continue,
            };
            let mask = if from.is_ipv4() { 32 } else { 128 };
            refused.push((line, format!("host replication {} {from}/{mask} scram-sha-256", quoted(&user))));
        }
        let (seen, lines): (Vec<_>, Vec<_>) = refused.into_iter().unzip();
        let fix = || {
            let mut fix: Vec<_> = lines.into_iter().map(|line| patient.hba_line(node, line)).collect();
            fix.push(patient.load(node));
            fix
        };
        Some(ill_if(!seen.is_empty(), || seen.join("; "), fix))
    })
}
