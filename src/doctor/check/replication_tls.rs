//! Check `replication_tls`.

use super::*;

/// WAL crosses the network encrypted.
pub static CHECK: Check = Check {
    id: "replication_tls",
    severity: Severity::Note,
    title: "WAL crosses the network encrypted",
    seen: "pg_stat_ssl of each walsender whose client is another machine.",
    why: "WAL is the data: whoever reads the wire reads every row that changes.",
    fix: "ssl = on on the primary with a certificate, sslmode=verify-full in primary_conninfo, hostssl in pg_hba.conf.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let plain = patient.chart(node)?.plain_streams;
        let fix = || patient.words(node, "set ssl = on with ssl_cert_file and ssl_key_file, reload, and add sslmode=verify-full to primary_conninfo of its standbys");
        Some(ill_if(plain > 0, || format!("{plain} walsenders stream in the clear"), fix))
    })
}
