//! Check `timeouts`.

use super::*;

/// A dead stream is noticed.
pub static CHECK: Check = Check {
    id: "timeouts",
    severity: Severity::Warning,
    title: "a dead stream is noticed",
    seen: "wal_sender_timeout and wal_receiver_timeout on every node.",
    why: "With 0 a stream whose other end vanished without a word stays for as long as TCP does: hours.",
    fix: "Set it to 60 s, the default.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let settings = patient.settings(node)?;
        let off: Vec<_> = [
            ("wal_sender_timeout", settings.wal_sender_timeout),
            ("wal_receiver_timeout", settings.wal_receiver_timeout),
        ]
        .into_iter()
        .filter(|(_, timeout)| *timeout == 0.0)
        .collect();
        let names: Vec<_> = off.iter().map(|(name, _)| *name).collect();
        let fix = || {
            let mut fix: Vec<_> =
                names.iter().map(|name| patient.sql(node, format!("ALTER SYSTEM SET {name} = '60s'"))).collect();
            fix.push(patient.sql(node, "SELECT pg_reload_conf()"));
            fix
        };
        Some(ill_if(!names.is_empty(), || format!("{} is 0", names.join(" and ")), fix))
    })
}
