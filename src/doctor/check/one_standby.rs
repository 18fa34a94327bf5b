//! Check `one_standby`.

use super::*;

/// There are two standbys.
pub static CHECK: Check = Check {
    id: "one_standby",
    severity: Severity::Note,
    title: "there are two standbys",
    seen: "How many standbys the config expects.",
    why: "After a failover to the only standby there is none left, until the old primary is back.",
    fix: "Add a second standby, and name it in the config.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    let expected = patient.evidence.layout.members.len().saturating_sub(1);
    patient.whole(ill_if(
        expected == 1,
        || "the config names one standby".to_owned(),
        || elsewhere("make a second standby and name it under nodes: in the config"),
    ))
}
