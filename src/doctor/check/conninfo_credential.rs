//! Check `conninfo_credential`.

use super::*;

/// A standby that must log in has something to log in with.
pub static CHECK: Check = Check {
    id: "conninfo_credential",
    severity: Severity::Warning,
    title: "a standby that must log in has something to log in with",
    seen: "Whether primary_conninfo of a standby that does not stream names a password, a password file or a certificate. The password itself is never read.",
    why: "With scram-sha-256 or md5 in pg_hba.conf a login without a password fails, and the standby tries again for ever.",
    fix: "Name a passfile or a password in primary_conninfo, or put a .pgpass into the home of the server's user.",
    versions: "Before 12 it stands in recovery.conf: unknown.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let conninfo = patient.conninfo(node)?;
        if !conninfo.is_set || conninfo.is_uri {
            return Some(Judged::Skip);
        }
        let lacks = !conninfo.has_credential && !patient.streams(node);
        let fix = || patient.words(node, "add passfile=… (or password=…) to primary_conninfo with ALTER SYSTEM, then SELECT pg_reload_conf() (12: restart)");
        Some(ill_if(lacks, || "primary_conninfo names no password, passfile or certificate, and it does not stream".to_owned(), fix))
    })
}
