//! Check `lag_columns`.

use super::*;

/// The lag columns of pg_stat_replication move.
pub static CHECK: Check = Check {
    id: "lag_columns",
    severity: Severity::Note,
    title: "the lag columns of pg_stat_replication move",
    seen: "The minor version of every node against the first with the fix of October 2025: 18.1, 17.7, 16.11, 15.15, 14.20, 13.23.",
    why: "Before it, write_lag and flush_lag freeze while replay stands still: a paused standby shows the lag of before the pause. pgvigil measures its own.",
    fix: "Update to the newest minor version.",
    versions: "Versions before 13 never got the fix.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    const FIXED: [(u32, u32); 6] = [(13, 23), (14, 20), (15, 15), (16, 11), (17, 7), (18, 1)];
    patient.on_every(|node| {
        let own = patient.version(node)?;
        let is_old =
            FIXED.iter().any(|(major, minor)| own.major() == *major && own.0 % 10_000 < *minor) || own.major() < 13;
        let fix = || patient.words(node, "install the newest minor version and restart PostgreSQL");
        Some(ill_if(is_old, || format!("{own} lacks the fix of stalled lag columns"), fix))
    })
}
