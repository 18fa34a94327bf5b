//! Check `version_minor`.

use super::*;

/// All nodes run one minor version.
pub static CHECK: Check = Check {
    id: "version_minor",
    severity: Severity::Note,
    title: "all nodes run one minor version",
    seen: "server_version_num of every node.",
    why: "Fixes of replication and of indexes hold only where both ends have them.",
    fix: "Update the packages of the older ones, standbys first, and restart.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    let newest = patient.nodes().filter_map(|node| patient.version(node)).max();
    patient.on_every(|node| {
        let (own, newest) = (patient.version(node)?, newest?);
        let is_old = own.major() == newest.major() && own < newest;
        let fix = || patient.words(node, format!("install the packages of {newest} and restart PostgreSQL"));
        Some(ill_if(is_old, || format!("it runs {own}, another node {newest}"), fix))
    })
}
