//! Check `wal_disk`.

use super::*;

/// Pg_wal has room.
pub static CHECK: Check = Check {
    id: "wal_disk",
    severity: Severity::Error,
    title: "pg_wal has room",
    seen: "The volume of pg_wal, where pgvigil runs beside the server and data_dir is set.",
    why: "When it is full the server stops with a PANIC and does not start until there is room.",
    fix: "Find what keeps WAL: slot_inactive, archive_failing, wal_keep_size; never remove files of pg_wal by hand.",
    versions: "Every version that pgvigil reads, in serve alone, which is the one that runs there.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let Some(hostside) = &patient.snapshot(node).hostside else { return Some(Judged::Skip) };
        let volume = &hostside.value.wal_volume;
        let left = volume.free as f64 / (volume.size as f64).max(1.0);
        let fix = || {
            patient
                .words(node, "do as slot_inactive, archive_failing and archive_hung say; else make the volume larger")
        };
        Some(ill_if(left < 0.1, || format!("{:.1} % of the volume of pg_wal is free", left * 100.0), fix))
    })
}
