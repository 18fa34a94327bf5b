//! Check `node_reachable`.

use super::*;

/// Every node of the config answers.
pub static CHECK: Check = Check {
    id: "node_reachable",
    severity: Severity::Error,
    title: "every node of the config answers",
    seen: "A login and a first reading of each node. Fails with the server's own words, or the network's.",
    why: "What is not read is not known: no verdict on this node, and none on the cluster that hangs on it.",
    fix: "As the message says: start the server, open the way to it, correct its dsn, or its role's password.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every_even_down(|node| match patient.evidence.facts[node].failure.as_ref() {
        _ if patient.is_up(node) => Judged::Well,
        Some(failing) => {
            let message = &failing.value.message;
            Judged::Ill(message.clone(), patient.words(node, "do as the message says, then run the doctor again"))
        }
        None => Judged::Unclear("it has not answered yet".to_owned()),
    })
}
