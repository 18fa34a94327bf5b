//! Check `max_wal_senders`.

use super::*;

/// There is a walsender for every standby and one to spare.
pub static CHECK: Check = Check {
    id: "max_wal_senders",
    severity: Severity::Error,
    title: "there is a walsender for every standby and one to spare",
    seen: "max_wal_senders on every node against the standbys of the config, and those in use.",
    why: "A standby or a base backup that finds none free is refused: number of requested standby connections exceeds max_wal_senders.",
    fix: "Raise max_wal_senders and restart; standbys first, for theirs must not be lower than the primary's.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.each(patient.standbys_first(), |node| {
        let limit = patient.number(node, "max_wal_senders")?;
        let used = f64::from(patient.snapshot(node).limits.as_ref()?.value.walsenders.used);
        let needed = patient.evidence.layout.members.len() as f64;
        let short = limit < needed || used >= limit;
        let raised = (needed + 2.0).max(used + 2.0).max(10.0);
        let seen = || format!("max_wal_senders is {limit}, {used} are in use, and {needed} should be possible");
        Some(ill_if(short, seen, || patient.raise(node, "max_wal_senders", raised)))
    })
}
