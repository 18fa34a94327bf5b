//! Check `no_primary`.

use super::*;

/// There is a primary.
pub static CHECK: Check = Check {
    id: "no_primary",
    severity: Severity::Error,
    title: "there is a primary",
    seen: "Whether any node that belongs to the cluster is outside recovery.",
    why: "Nobody can write.",
    fix: "If the primary is gone for good, promote the standby that has received most: see the runbook PostgresPrimaryDown.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    let all_seen = patient.nodes().all(|node| patient.is_up(node));
    let candidate = patient.assessment.failover_candidate.as_deref();
    let best = patient.nodes().find(|node| Some(patient.name(*node)) == candidate);
    let fix = || match best {
        Some(best) => {
            let sure = "see that the old primary is stopped and does not start again: the runbook PostgresPrimaryDown";
            let mut fix = elsewhere(sure);
            fix.push(patient.sql(best, "SELECT pg_promote()"));
            fix
        }
        None => elsewhere("start the primary; if it is gone for good, see the runbook PostgresPrimaryDown"),
    };
    patient.whole(match patient.primary() {
        Some(_) => Judged::Well,
        None if all_seen => Judged::Ill("every node is a standby".to_owned(), fix()),
        None => Judged::Ill("no node that answers is a primary".to_owned(), fix()),
    })
}
