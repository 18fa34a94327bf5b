//! Check `log_cause`.

use super::*;

/// The servers' logs name no cause of trouble.
pub static CHECK: Check = Check {
    id: "log_cause",
    severity: Severity::Warning,
    title: "the servers' logs name no cause of trouble",
    seen: "Where the config names a node's log: the messages of the last ten minutes that docs/server-log.md lists, each by its newest line.",
    why: "A standby that is turned away, WAL that was removed, or an archive_command that fails say why in the log alone.",
    fix: "As docs/server-log.md says of the class; ten minutes after the last such message the check is well again.",
    versions: "Every version that pgvigil reads, in English (lc_messages). Text needs %m or %t in log_line_prefix.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every_even_down(|node| {
        let log = match patient.server_log(node) {
            None => return Judged::Skip,
            // Check log_read says why.
            Some(Err(_)) => return Judged::Unclear("its log is not read".to_owned()),
            Some(Ok(log)) if log.is_understood == Some(false) => {
                return Judged::Unclear("its log is not in English".to_owned());
            }
            Some(Ok(log)) => log,
        };
        let said: Vec<_> = log.recent(patient.evidence.now).collect();
        let lines = || {
            let lines: Vec<_> = said.iter().map(|(said, class)| format!("{}: {}", class.name, said.line)).collect();
            lines.join(" | ")
        };
        let fixes = || {
            let fix = |class: &Class| patient.words(node, format!("{}: {}", class.name, class.fix));
            said.iter().flat_map(|(_, class)| fix(class)).collect()
        };
        ill_if(!said.is_empty(), lines, fixes)
    })
}
