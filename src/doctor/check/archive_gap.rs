//! Check `archive_gap`.

use super::*;

/// The archive has no gap.
pub static CHECK: Check = Check {
    id: "archive_gap",
    severity: Severity::Error,
    title: "the archive has no gap",
    seen: "The files of archive_dir, from the oldest segment to the newest, with their sizes.",
    why: "No restore gets beyond the missing segment.",
    fix: "Copy the segment from a node that still has it in pg_wal, or make a new base backup.",
    versions: "Every version that pgvigil reads, in serve alone: a segment that is missing at one look may be on its way.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    let fact = patient.cluster.archive_dir(patient.evidence.now);
    let first = fact.flatten().and_then(|fact| fact.value.found.as_ref()?.first_missing);
    let first = first.map_or(String::new(), |segment| format!("; the first that is missing is {segment}"));
    patient.whole(match fact.map(|fact| fact.map(|fact| fact.value.state)) {
        None => Judged::Skip,
        Some(None | Some(ArchiveDirState::Unknown)) => Judged::Unclear("archive_dir was not looked at for long enough".to_owned()),
        Some(Some(ArchiveDirState::Ok)) => Judged::Well,
        Some(Some(state)) => Judged::Ill(
            format!("archive_dir is {}{first}", state.as_str()),
            elsewhere("copy what is missing into archive_dir from a node that still has it in pg_wal: see the runbooks PostgresArchiveGap and PostgresArchiveUnreadable; else a new base backup ends the need for what is missing"),
        ),
    })
}
