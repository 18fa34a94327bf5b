//! Check `standby_delay`.

use super::*;

/// No query can hold up replay for ever.
pub static CHECK: Check = Check {
    id: "standby_delay",
    severity: Severity::Warning,
    title: "no query can hold up replay for ever",
    seen: "max_standby_streaming_delay and max_standby_archive_delay on every node.",
    why: "With -1 one forgotten query on a standby stops its replay until it ends.",
    fix: "Set it to 30 s, the default, or to what a report needs.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let settings = ["max_standby_streaming_delay", "max_standby_archive_delay"];
        let values: Option<Vec<_>> = settings.iter().map(|name| Some((*name, patient.number(node, name)?))).collect();
        let endless: Vec<_> = values?.into_iter().filter(|(_, value)| *value < 0.0).map(|(name, _)| name).collect();
        let fix = || {
            let mut fix: Vec<_> =
                endless.iter().map(|name| patient.sql(node, format!("ALTER SYSTEM SET {name} = '30s'"))).collect();
            fix.push(patient.sql(node, "SELECT pg_reload_conf()"));
            fix
        };
        Some(ill_if(!endless.is_empty(), || format!("{} is -1", endless.join(" and ")), fix))
    })
}
