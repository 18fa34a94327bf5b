//! Check `log_read`.

use super::*;

/// The logs that the config names can be read.
pub static CHECK: Check = Check {
    id: "log_read",
    severity: Severity::Warning,
    title: "the logs that the config names can be read",
    seen: "A look into the log of each node whose config has one, and the language of its newest entry.",
    why: "What is not read says nothing: log_events_total of this node is absent, and log_cause is unknown.",
    fix: "Let pgvigil's user read it (log_file_mode = 0640, or the group adm), correct its path, or set lc_messages to C.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_every_even_down(|node| match patient.server_log(node) {
        None => Judged::Skip,
        Some(Err(why)) => {
            let fix = "correct log in the config, or let pgvigil's user read it";
            Judged::Ill(why.to_owned(), patient.words(node, fix))
        }
        Some(Ok(log)) => match log.is_understood {
            Some(true) => Judged::Well,
            Some(false) => {
                Judged::Ill("its entries are not in English".to_owned(), patient.set(node, "lc_messages", "C"))
            }
            None => Judged::Unclear("it holds no entry yet".to_owned()),
        },
    })
}
