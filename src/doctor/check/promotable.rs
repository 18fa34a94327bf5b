//! Check `promotable`.

use super::*;

/// A failover would have somebody to go to.
pub static CHECK: Check = Check {
    id: "promotable",
    severity: Severity::Error,
    title: "a failover would have somebody to go to",
    seen: "What stands in the way of each standby, as docs/promotable.md lists it.",
    why: "When the primary is lost now, nobody can take over without loss or work by hand.",
    fix: "What is listed for the standby that is nearest to it.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    if patient.primary().is_none() && patient.assessment.failover_candidate.is_none() {
        return patient.whole(Judged::Unclear("no primary is seen".to_owned()));
    }
    let standbys: Vec<_> = patient.standbys().collect();
    let verdict = |node: &usize| patient.verdicts(*node).promotable.as_ref().map(|promotable| promotable.verdict);
    let told: Vec<_> = standbys
        .iter()
        .map(|node| {
            let reasons = patient.verdicts(*node).promotable.iter().flat_map(|promotable| &promotable.reasons);
            let reasons: Vec<_> = reasons.map(|reason| reason.as_str()).collect();
            format!("{}: {}", patient.name(*node), reasons.join(", "))
        })
        .collect();
    patient.whole(match () {
        () if standbys.iter().any(|node| verdict(node) == Some(Verdict::Yes)) => Judged::Well,
        // That is another check's.
        () if standbys.is_empty() => Judged::Skip,
        () if standbys.iter().any(|node| verdict(node) != Some(Verdict::No)) => Judged::Unclear(told.join("; ")),
        () => Judged::Ill(told.join("; "), elsewhere("see docs/promotable.md for each reason")),
    })
}
