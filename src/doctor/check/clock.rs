//! Check `clock`.

use super::*;

/// The nodes' clocks agree.
pub static CHECK: Check = Check {
    id: "clock",
    severity: Severity::Warning,
    title: "the nodes' clocks agree",
    seen: "Each server's clock against pgvigil's, and the nodes' against each other.",
    why: "Lag by timestamps, logs, recovery_target_time and certificates go by them.",
    fix: "Run chrony or another NTP client on the machine.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    let offset = |node: usize| patient.recovery(node).map(|recovery| recovery.clock_offset_seconds);
    let all: Vec<_> = patient.nodes().filter_map(offset).collect();
    patient.on_every(|node| {
        let own = offset(node)?;
        let apart = all.iter().map(|other| (own - other).abs()).fold(0.0, f64::max);
        let fix = || {
            patient.words(
                node,
                "on its machine: start chrony or another NTP client, and see that it has a source (chronyc sources)",
            )
        };
        Some(ill_if(apart > 1.0, || format!("its clock is {apart:.1} s from another node's"), fix))
    })
}
