//! Check `reserved_connections`.

use super::*;

/// Somebody can log in when all connections are taken.
pub static CHECK: Check = Check {
    id: "reserved_connections",
    severity: Severity::Warning,
    title: "somebody can log in when all connections are taken",
    seen: "superuser_reserved_connections on every node.",
    why: "With 0 nobody can log in to a server that is full, not even to see who fills it.",
    fix: "superuser_reserved_connections = 3, the default, and restart.",
    versions: "reserved_connections for other roles from 16 on.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let none = patient.chart(node)?.superuser_reserved == 0;
        let fix = || patient.set_and_restart(node, "superuser_reserved_connections", "3");
        Some(ill_if(none, || "superuser_reserved_connections is 0".to_owned(), fix))
    })
}
