//! Check `hba_error`.

use super::*;

/// Pg_hba.conf has no line that the server cannot read.
pub static CHECK: Check = Check {
    id: "hba_error",
    severity: Severity::Error,
    title: "pg_hba.conf has no line that the server cannot read",
    seen: "pg_hba_file_rules.error on every node.",
    why: "A reload keeps the old rules while a line is wrong, and after a restart the server does not start.",
    fix: "Correct the line and reload.",
    versions: "As hba_replication: for superusers or by a grant; else unknown.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every(|node| {
        let rules = patient.told(node)?.hba.as_ref()?;
        let wrong = rules.iter().find_map(|rule| Some((rule.line, rule.error.as_deref()?)));
        Some(match wrong {
            None => Judged::Well,
            Some((line, error)) => {
                let file = patient.chart(node)?.hba_file.as_deref().unwrap_or("pg_hba.conf");
                let mut fix = patient.words(node, format!("correct line {line} of {file}"));
                fix.push(patient.load(node));
                Judged::Ill(format!("line {line}: {error}"), fix)
            }
        })
    })
}
