//! Check `needed_wal`.

use super::*;

/// The WAL that each standby needs is still there.
pub static CHECK: Check = Check {
    id: "needed_wal",
    severity: Severity::Error,
    title: "the WAL that each standby needs is still there",
    seen: "Whether the standby's slot is lost, or its next segment removed from the primary, and nothing else can feed it.",
    why: "requested WAL segment has already been removed: it never catches up.",
    fix: "Make it anew with pg_basebackup -R, or give it a restore_command to an archive that has the segment.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        match patient.verdicts(node).needs_rebuild {
            Some(Verdict::No) => Some(Judged::Well),
            Some(Verdict::Yes) => Some(Judged::Ill(
                "the WAL that it needs next is gone from the primary, and it has no other source".to_owned(),
                patient.words(
                    node,
                    "make it anew: pg_basebackup -R; or set restore_command to an archive that has the segments",
                ),
            )),
            // Never asked for what is gone while it streams.
            Some(Verdict::Unknown) if patient.streams(node) => Some(Judged::Well),
            Some(Verdict::Unknown) => None,
            None => Some(Judged::Skip),
        }
    })
}
