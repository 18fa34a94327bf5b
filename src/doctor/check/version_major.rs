//! Check `version_major`.

use super::*;

/// All nodes run one major version.
pub static CHECK: Check = Check {
    id: "version_major",
    severity: Severity::Error,
    title: "all nodes run one major version",
    seen: "server_version_num of every node.",
    why: "Physical replication does not cross a major version: the standby does not start.",
    fix: "Make the standby anew with the primary's major version; pg_upgrade moves a whole cluster.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let (own, primarys) = (patient.version(node)?, patient.version(patient.primary()?)?);
        let fix = || patient.words(node, format!("make it anew with PostgreSQL {}", primarys.major()));
        Some(ill_if(own.major() != primarys.major(), || format!("it runs {own}, the primary {primarys}"), fix))
    })
}
