//! Check `streaming`.

use super::*;

/// Each standby streams.
pub static CHECK: Check = Check {
    id: "streaming",
    severity: Severity::Error,
    title: "each standby streams",
    seen: "Whether the standby has a walreceiver that streams. One that has no primary_conninfo and restores from an archive is not asked.",
    why: "A standby that does not stream falls behind by what the archive has not yet, or by everything.",
    fix: "The server log of the standby says why; the checks hba_replication, replication_role, slot_named, needed_wal and conninfo_target name the usual causes.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let receiver = &patient.snapshot(node).wal_receiver.as_ref()?.value;
        let status = receiver.as_ref().map_or("no walreceiver", |receiver| receiver.status.as_str());
        // A walreceiver that waits has read all that its upstream's timeline has.
        let streams = matches!(status, "streaming");
        if !streams && patient.conninfo(node).is_some_and(|conninfo| !conninfo.is_set) {
            return Some(Judged::Skip);
        }
        // What the standby's own log says ends in the primary's words.
        let cause = std::iter::once(node).chain(patient.primary()).find_map(|at| patient.cause(at, About::Replication));
        let fix = || {
            let read =
                "read its server log for the walreceiver's error, and the other findings: each names its own fix";
            patient.words(node, cause.as_ref().map_or(read, |(_, class)| class.fix))
        };
        let said = cause.as_ref().map_or(String::new(), |(said, _)| format!("; {said}"));
        Some(ill_if(!streams, || format!("{status}: it does not stream{said}"), fix))
    })
}
