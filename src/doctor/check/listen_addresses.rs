//! Check `listen_addresses`.

use super::*;

/// Each node listens where others look for it.
pub static CHECK: Check = Check {
    id: "listen_addresses",
    severity: Severity::Error,
    title: "each node listens where others look for it",
    seen: "listen_addresses of every node against its address in the config, where that is another machine's.",
    why: "A server that listens on localhost alone is reached by no standby.",
    fix: "listen_addresses = '*', or the address; and restart.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let listens = patient.chart(node)?.listen_addresses.clone();
        let local = listens.split(',').all(|one| matches!(one.trim(), "" | "localhost" | "127.0.0.1" | "::1"));
        let others = patient.nodes().filter(|other| *other != node);
        let beyond = others.filter_map(|other| patient.address(other)).any(|address| !address.is_loopback());
        let own_socket = listens.trim().is_empty() && patient.nodes().len() > 1;
        let fix = || patient.set_and_restart(node, "listen_addresses", "*");
        Some(ill_if(
            own_socket || local && beyond,
            || format!("listen_addresses is '{listens}', and other nodes are on other machines"),
            fix,
        ))
    })
}
