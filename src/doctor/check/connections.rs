//! Check `connections`.

use super::*;

/// There are connections left.
pub static CHECK: Check = Check {
    id: "connections",
    severity: Severity::Warning,
    title: "there are connections left",
    seen: "Client connections of every node against max_connections less what is reserved.",
    why: "At the limit applications and pgvigil are refused: sorry, too many clients already.",
    fix: "Raise max_connections, standbys first, and restart; or put a pooler in front, if they are idle for most of the time.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.each(patient.standbys_first(), |node| {
        let (chart, most) = (patient.chart(node)?, patient.number(node, "max_connections")?);
        let usable = most - f64::from(chart.superuser_reserved + chart.reserved);
        let used = f64::from(chart.connections);
        let fix = || patient.raise(node, "max_connections", most * 2.0);
        Some(ill_if(used >= usable * 0.9, || format!("{used} of {usable} connections are taken"), fix))
    })
}
