//! Check `checksum_failures`.

use super::*;

/// No page was found broken.
pub static CHECK: Check = Check {
    id: "checksum_failures",
    severity: Severity::Error,
    title: "no page was found broken",
    seen: "checksum_failures of pg_stat_database on every node.",
    why: "A page that was read did not bear its checksum: a disk or memory is failing, and the data of it is in doubt.",
    fix: "Find the relation in the server log, restore it from another node or a backup, and look at the machine's disks. The count stays until SELECT pg_stat_reset() in that database, which begins all of its statistics anew.",
    versions: "From 12 on, on servers with checksums.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let checksums = &patient.snapshot(node).checksums.as_ref()?.value;
        if checksums.enabled == Some(false) {
            return Some(Judged::Skip);
        }
        let failures = checksums.failures?;
        let fix = || patient.words(node, "find the relation in its server log (page verification failed), restore it from a node without failures, and look at its disks; then, in its database, SELECT pg_stat_reset() and ANALYZE: the count stays until its statistics begin anew");
        Some(ill_if(failures > 0, || format!("{failures} pages failed their checksum"), fix))
    })
}
