//! Check `client_routing`.

use super::*;
use crate::doctor::clients::{Answered, Clients, Led, Server, Wanted, haproxy};

/// What clients use leads to the primary, and to nobody else.
pub static CHECK: Check = Check {
    id: "client_routing",
    severity: Severity::Error,
    title: "what clients use leads to the primary, and to nobody else",
    seen: "What the config names under clients: a connection string, also one of several servers, which are tried as libpq would by its target_session_attrs, or one through HAProxy or PgBouncer; who answers is told by pg_postmaster_start_time(). And HAProxy's statistics: the servers of the backend that get sessions, by their address, or by their name where that is a node's. Held against the primary that pgvigil sees.",
    why: "After a failover the servers may be well and the clients still at the old primary, at a standby that takes no writes, or nowhere.",
    fix: "Name all nodes in the connection string with target_session_attrs=read-write; let HAProxy ask pgvigil (docs/load-balancing.md); point PgBouncer to the primary and reload it.",
    versions: "target_session_attrs=primary is known to libpq from 14 on.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    let aside = patient.cluster.aside();
    let now = patient.evidence.now.mono;
    let fresh = |clients: &Clients, seen| now.since(seen) <= clients.counts_for;
    let findings = aside.clients.iter().flat_map(|fact| match (&fact.value.led, patient.primary()) {
        (_, _) if !fresh(&fact.value, fact.seen.mono) => {
            patient.whole(Judged::Unclear(format!("{} was not tried for long", fact.value.name)))
        }
        (Err(why), _) => patient.whole(Judged::Unclear(format!("{}: {why}", fact.value.name))),
        (Ok(_), None) => patient.whole(Judged::Unclear("no primary is seen".to_owned())),
        (Ok(led), Some(primary)) => {
            let judged = match led {
                Led::Servers(wanted, servers) => by_servers(patient, primary, *wanted, servers),
                Led::Backend(backend, servers) => by_backend(patient, primary, backend, servers),
            };
            patient.whole(match judged {
                Judged::Ill(seen, fix) => Judged::Ill(format!("{} {seen}", fact.value.name), fix),
                Judged::Unclear(why) => Judged::Unclear(format!("{}: {why}", fact.value.name)),
                well => well,
            })
        }
    });
    findings.collect()
}

fn by_servers(patient: &Patient<'_>, primary: usize, wanted: Wanted, servers: &[Server]) -> Judged {
    // The very same server has the same start.
    let node_of = |server: &Server| match server.answered {
        Answered::Who(who) => {
            patient.nodes().find(|node| patient.recovery(*node).is_some_and(|known| known.started_at == who.started_at))
        }
        Answered::Refused(_) | Answered::Nobody(_) => None,
    };
    let mut leads = Vec::new();
    for server in servers {
        match &server.answered {
            Answered::Who(who) if wanted.takes(*who) => leads.push(server),
            // Whether that is so for clients too, who log in as somebody else, nobody knows.
            Answered::Refused(why) if leads.is_empty() => {
                return Judged::Unclear(format!("{} refused us: {why}", server.address));
            }
            _ => {}
        }
    }
    let is_primary = |server: &&Server| node_of(server) == Some(primary);
    let named = |server: &Server| match node_of(server) {
        Some(node) => format!("{} ({})", patient.name(node), server.address),
        None => format!("{}, which is no node of this cluster that is seen", server.address),
    };
    let Some(first) = leads.first() else {
        let told = servers.iter().map(|server| match &server.answered {
            Answered::Who(_) => format!("{} takes no writes", server.address),
            Answered::Refused(why) | Answered::Nobody(why) => format!("{}: {why}", server.address),
        });
        let told: Vec<_> = told.collect();
        let fix = elsewhere("name the primary and all nodes that may become one, and target_session_attrs=read-write");
        return Judged::Ill(format!("leads nowhere: {}", told.join("; ")), fix);
    };
    let fix = || {
        elsewhere(
            "name all nodes, with target_session_attrs=read-write; behind it point the pooler or the proxy to the primary",
        )
    };
    if !is_primary(first) {
        return Judged::Ill(format!("leads to {}, and not to {}", named(first), patient.name(primary)), fix());
    }
    let others: Vec<_> = leads.iter().filter(|server| !is_primary(server)).map(|server| named(server)).collect();
    ill_if(
        !others.is_empty(),
        || format!("may lead to {} as well as to {}", others.join(", "), patient.name(primary)),
        fix,
    )
}

fn by_backend(patient: &Patient<'_>, primary: usize, backend: &str, servers: &[haproxy::Server]) -> Judged {
    let node_of = |server: &haproxy::Server| {
        let address = |node: usize| patient.evidence.layout.members[node].address.as_deref();
        let by_address =
            patient.nodes().find(|node| !server.address.is_empty() && address(*node) == Some(&server.address));
        by_address.or_else(|| patient.nodes().find(|node| patient.name(*node) == server.name))
    };
    let named = |server: &haproxy::Server| match node_of(server) {
        Some(node) => patient.name(node).to_owned(),
        None => format!("{} {}, which is no node of this cluster", server.name, server.address),
    };
    let fix = || elsewhere("let HAProxy ask pgvigil who the primary is: docs/load-balancing.md, deploy/haproxy.cfg");
    if servers.is_empty() {
        return Judged::Ill(format!("leads nowhere: no server of backend {backend} of HAProxy gets sessions"), fix());
    }
    let others: Vec<_> = servers.iter().filter(|server| node_of(server) != Some(primary)).map(named).collect();
    let to_primary = if others.len() == servers.len() { ", and not to" } else { " as well as to" };
    let seen = || format!("leads to {}{to_primary} {}", others.join(", "), patient.name(primary));
    ill_if(!others.is_empty(), seen, fix)
}
