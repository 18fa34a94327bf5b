//! Check `preload`.

use super::*;

/// Every node loads the same libraries.
pub static CHECK: Check = Check {
    id: "preload",
    severity: Severity::Warning,
    title: "every node loads the same libraries",
    seen: "shared_preload_libraries of each standby against the primary's.",
    why: "After a failover what they do is missing: an extension fails, archive or audit stops, or the promoted server does not accept what the primary did.",
    fix: "Set it on the standby as on the primary and restart. Where the primary loads none, take it out of the file where it stands.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let list = |node: usize| {
            let text = patient.chart(node)?.preload.as_deref()?;
            let mut names: Vec<_> =
                text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
            names.sort_unstable();
            Some(names)
        };
        let (own, primarys) = (list(node)?, list(patient.primary()?)?);
        let fix = || {
            // Each name by itself: one quoted text would be one library, and an empty one a library without a name.
            let statement = match primarys.as_slice() {
                [] => "ALTER SYSTEM RESET shared_preload_libraries".to_owned(),
                names => format!("ALTER SYSTEM SET shared_preload_libraries = {}", names.join(", ")),
            };
            vec![patient.sql(node, statement), patient.restart(node)]
        };
        Some(ill_if(
            own != primarys,
            || format!("it loads [{}], the primary [{}]", own.join(", "), primarys.join(", ")),
            fix,
        ))
    })
}
