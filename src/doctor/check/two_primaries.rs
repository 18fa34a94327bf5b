//! Check `two_primaries`.

use super::*;

/// One node writes.
pub static CHECK: Check = Check {
    id: "two_primaries",
    severity: Severity::Error,
    title: "one node writes",
    seen: "Nodes outside recovery that belong to the cluster. Fails with two or more.",
    why: "Both take writes that the other will never have. Every minute makes more of them.",
    fix: "Stop the one that clients should not use, and make it a standby of the other with pg_rewind or a new base backup.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    let writers = patient.assessment.primaries;
    let named: Vec<_> = patient
        .nodes()
        .filter(|node| patient.recovery(*node).is_some_and(|recovery| !recovery.in_recovery))
        .map(|node| patient.name(node))
        .collect();
    patient.whole(match patient.assessment.split_brain {
        Verdict::Yes => Judged::Ill(
            format!("{writers} nodes write: {}", named.join(", ")),
            elsewhere("stop the one that clients should not use, then run pg_rewind on it against the other: see the runbook PostgresSplitBrain"),
        ),
        Verdict::No => Judged::Well,
        Verdict::Unknown => Judged::Unclear("not every node is read".to_owned()),
    })
}
