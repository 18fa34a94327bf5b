//! Check `backup_age`.

use super::*;

/// There is a backup, and it is young enough.
pub static CHECK: Check = Check {
    id: "backup_age",
    severity: Severity::Error,
    title: "there is a backup that is whole and young enough",
    seen: "What pgBackRest or Barman says of its backups, where backup: of the config names one: the newest that is whole ended within max_age (36 h), none failed since, its WAL is in the archive, and it is of this system (pgBackRest says so).",
    why: "Replication copies each mistake at once. What was dropped, or damaged on all nodes, comes back from a backup alone.",
    fix: "See the log of the tool for why the last one failed or was not made, and make one: pgbackrest --stanza=… backup, or barman backup --wait ….",
    versions: "Tried with pgBackRest 2.45 and Barman 3.4. Without backup: in the config nothing is judged. That a backup can be restored only a restore proves.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    let Some(fact) = &patient.cluster.aside().backups else { return patient.whole(Judged::Skip) };
    let (backups, now) = (&fact.value, patient.evidence.now);
    let asked = format!("{} {}", backups.tool.as_str(), backups.name);
    if now.mono.since(fact.seen.mono) > backups.counts_for {
        return patient.whole(Judged::Unclear(format!("{asked} was not asked for long")));
    }
    let control = patient.nodes().find_map(|node| patient.snapshot(node).control.as_ref());
    let system = control.map(|control| control.value.system_identifier.as_str());
    patient.whole(match &backups.found {
        Err(why) => Judged::Unclear(format!("{asked}: {why}")),
        Ok(found) => match backups.fault(found, system, now.wall) {
            Some(fault) => Judged::Ill(fault.seen, elsewhere(&fault.fix)),
            None => Judged::Well,
        },
    })
}
