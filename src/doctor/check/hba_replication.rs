//! Check `hba_replication`.

use std::net::IpAddr;

use super::*;
use crate::doctor::finding::Cure;
use crate::doctor::hba::Rule;
use crate::doctor::login::Login;
use crate::pg::failure::Cause;

/// Pg_hba.conf of each possible primary lets the standbys in.
pub static CHECK: Check = Check {
    id: "hba_replication",
    severity: Severity::Error,
    title: "pg_hba.conf of each possible primary lets the standbys in",
    seen: "A login for physical replication at every node, with the user and password of replication: in the config, which ends at once (pgvigil doctor alone; without it, or through a pooler, none). It tries the role, its password, and whether there is a walsender left; of pg_hba.conf it tries the line of the host that pgvigil runs on, and no other's. And pg_hba_file_rules on every node: the first rule for the database replication that fits the role of each other node's primary_conninfo and its address. The word all does not mean replication.",
    why: "no pg_hba.conf entry for replication connection is the most frequent reason why a standby never shows up, and on a standby it shows at the failover.",
    fix: "Add a line host replication <role> <address>/32 scram-sha-256 to pg_hba.conf, above any that rejects it, and reload; give the role REPLICATION and the password that the standbys have; raise max_wal_senders. A role whose password is still of md5 needs md5 in its place.",
    versions: "pg_hba_file_rules is for superusers: GRANT SELECT ON pg_hba_file_rules and GRANT EXECUTE ON FUNCTION pg_hba_file_rules() to pgvigil's role, or give an admin_dsn; without that only a login from the standbys' own host decides, else unknown.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let told = patient.told(node)?;
        let login = told.login.as_ref();
        if let Some((seen, fix)) = login.and_then(|login| refused_anywhere(patient, node, login)) {
            return Some(Judged::Ill(seen, fix));
        }
        let mut refused = match &told.hba {
            Some(rules) => by_rules(patient, node, rules),
            None => Vec::new(),
        };
        let here = login.map(|login| from_here(patient, node, login));
        match (&told.hba, here) {
            (_, Some(Here::Refused(line))) => refused.extend(refused.is_empty().then_some(line)),
            (Some(_), _) | (None, Some(Here::ProvesAll)) => {}
            (None, Some(Here::ProvesLess(why))) => return Some(Judged::Unclear(why)),
            (None, None) => return None,
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

/// What was seen, and the line that mends it.
type Refused = (String, String);

fn line(user: &str, from: IpAddr) -> String {
    let mask = if from.is_ipv4() { 32 } else { 128 };
    format!("host replication {} {from}/{mask} scram-sha-256", quoted(user))
}

fn others<'a>(patient: &'a Patient<'_>, node: usize) -> impl Iterator<Item = usize> + 'a {
    patient.nodes().filter(move |other| *other != node && patient.evidence.twin_of(*other).is_none())
}

fn by_rules(patient: &Patient<'_>, node: usize, rules: &[Rule]) -> Vec<Refused> {
    let mut refused = Vec::new();
    for other in others(patient, node) {
        let Some((user, from)) = patient.replication_user().zip(patient.address(other)) else { continue };
        let seen = match hba::replication(rules, &user, from) {
            Met::Nothing => format!("no rule lets {user} replicate from {from} ({})", patient.name(other)),
            Met::Rejected(rule) => {
                format!("line {} rejects {user} from {from} ({})", rule.line, patient.name(other))
            }
            Met::Rule(_) | Met::Unclear(_) => continue,
        };
        refused.push((seen, line(&user, from)));
    }
    refused
}

/// What a login met that a login from any host would meet.
fn refused_anywhere(patient: &Patient<'_>, node: usize, login: &Login) -> Option<(String, Vec<Cure>)> {
    let Login { user, result: Err(failure), .. } = login else { return None };
    // Of our own files, or of a library of ours: it says nothing of the server.
    let sqlstate = failure.sqlstate.as_deref()?;
    let quoted = quoted(user);
    // A standby takes its roles from the primary.
    let on = patient.primary().unwrap_or(node);
    let alter = |what: &str| vec![patient.sql(on, format!("ALTER ROLE {quoted} {what}"))];
    let (what, fix) = match (failure.cause, sqlstate) {
        (Cause::Password, _) => {
            let fix = format!(
                "ALTER ROLE {quoted} PASSWORD '…', the one of the standbys and of replication in pgvigil's config; \\password does it unseen"
            );
            (format!("the password that the config has for {user} is refused"), patient.words(on, fix))
        }
        (Cause::Role, _) => {
            let fix = format!(
                "ALTER ROLE {quoted} LOGIN REPLICATION; if there is no such role: CREATE ROLE {quoted} LOGIN REPLICATION PASSWORD '…'"
            );
            (format!("{user} does not exist or may not log in"), patient.words(on, fix))
        }
        (Cause::Auth, "42501") => (format!("{user} has no REPLICATION"), alter("REPLICATION")),
        (Cause::ServerFull, _) => {
            let raised = (patient.number(node, "max_wal_senders").unwrap_or(0.0) + 5.0).max(10.0);
            ("there is no walsender left".to_owned(), patient.raise(node, "max_wal_senders", raised))
        }
        _ => return None,
    };
    Some((format!("a login for replication: {what} (SQLSTATE {sqlstate})"), fix))
}

/// What a login from the host that pgvigil runs on says.
enum Here {
    /// All other nodes are on this host.
    ProvesAll,
    /// Others are not, or it did not come to a line of `pg_hba.conf`.
    ProvesLess(String),
    /// A standby is on this host, and is not let in.
    Refused(Refused),
}

fn from_here(patient: &Patient<'_>, node: usize, login: &Login) -> Here {
    let Login { user, from, result } = login;
    let is_here = |other: usize| {
        let other_user = patient.conninfo(other).and_then(|conninfo| conninfo.user.as_ref());
        from.is_some() && patient.address(other) == *from && other_user.is_none_or(|other| other == user)
    };
    let host = match from {
        Some(from) => format!("from the host of pgvigil ({from})"),
        None => "from the host of pgvigil by a unix socket".to_owned(),
    };
    let elsewhere: Vec<_> =
        others(patient, node).filter(|other| !is_here(*other)).map(|other| patient.name(other)).collect();
    let rest = format!("which says nothing of {}: let pgvigil see pg_hba_file_rules", elsewhere.join(", "));
    match result {
        Ok(()) if elsewhere.is_empty() => Here::ProvesAll,
        Ok(()) => Here::ProvesLess(format!("{user} can log in for replication {host}, {rest}")),
        Err(failure) if failure.cause == Cause::Hba => {
            match (from, others(patient, node).find(|other| is_here(*other))) {
                (Some(from), Some(other)) => {
                    let seen = format!(
                        "pg_hba.conf refuses a login of {user} for replication {host}, where {} is",
                        patient.name(other)
                    );
                    Here::Refused((seen, line(user, *from)))
                }
                _ => Here::ProvesLess(format!("pg_hba.conf refuses a login of {user} for replication {host}, {rest}")),
            }
        }
        Err(failure) if failure.cause == Cause::Password => Here::ProvesLess(format!(
            "{} asks {user} for a password, and there is none: name its password_file in replication of the config",
            patient.name(node)
        )),
        Err(failure) => Here::ProvesLess(format!("a login for replication {host} came to nothing: {failure}")),
    }
}
