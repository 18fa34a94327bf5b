//! Check `same_server`.

use super::*;

/// No server is two nodes.
pub static CHECK: Check = Check {
    id: "same_server",
    severity: Severity::Error,
    title: "no server is two nodes",
    seen: "Nodes whose postmasters started in the same microsecond with the same system identifier.",
    why: "One of the two is not watched at all, and the cluster has one copy less than it seems.",
    fix: "Correct the dsn of one of them.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let fix = || patient.words(node, "correct its dsn in the config");
        Some(match patient.evidence.twin_of(node) {
            Some(twin) => Judged::Ill(format!("it is the same server as {}", patient.name(twin)), fix()),
            None => Judged::Well,
        })
    })
}
