//! Check `conninfo_target`.

use super::*;

/// Each standby follows a node of the config.
pub static CHECK: Check = Check {
    id: "conninfo_target",
    severity: Severity::Error,
    title: "each standby follows a node of the config",
    seen: "host and port of primary_conninfo against the addresses of the nodes, where both are addresses.",
    why: "A standby that points at itself or at a server that is gone streams from nobody after the next restart.",
    fix: "Correct primary_conninfo on the standby.",
    versions: "Before 12 it stands in recovery.conf: unknown.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let conninfo = patient.conninfo(node)?;
        let host = conninfo.hostaddr.as_ref().or(conninfo.host.as_ref());
        let Some(host) = host.and_then(|host| host.parse::<std::net::IpAddr>().ok()).filter(|_| conninfo.is_set) else {
            return Some(Judged::Skip);
        };
        let port = conninfo.port.as_deref().unwrap_or("5432");
        let is_at = |other: usize| {
            let address = patient.evidence.layout.members[other].address.as_deref()?;
            Some(patient.address(other)? == host && address.ends_with(&format!(":{port}")))
        };
        let at: Vec<_> = patient.nodes().map(is_at).collect();
        let fix = |what: &str| {
            let to_primary = patient.primary().and_then(|primary| patient.follow(node, primary));
            to_primary.unwrap_or_else(|| patient.words(node, format!("ALTER SYSTEM SET primary_conninfo so that it names {what}, then SELECT pg_reload_conf() (12: restart)")))
        };
        Some(match at.iter().position(|is_at| *is_at == Some(true)) {
            Some(own) if own == node => Judged::Ill(format!("primary_conninfo leads to {host}:{port}, which is this node itself"), fix("its upstream")),
            Some(_) => Judged::Well,
            None if at.iter().all(Option::is_some) && !patient.streams(node) => {
                Judged::Ill(format!("primary_conninfo leads to {host}:{port}, where no node of the config is, and nothing streams"), fix("a node of the config"))
            }
            None => Judged::Skip,
        })
    })
}
