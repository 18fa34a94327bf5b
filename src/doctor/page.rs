//! The pages of `docs/checks/`, made of the checks themselves.

use super::check::{CHECKS, Check};

/// Where the pages are, from the root of the repository.
pub const DIR: &str = "docs/checks";

/// The page of one check.
pub fn of(check: &Check) -> String {
    let Check { id, severity, title, seen, why, fix, versions, .. } = check;
    let severity = severity.as_str();
    format!(
        "# {id}\n\n{severity}: {title}.\n\n## What is looked at\n\n{seen}\n\n## Why it matters\n\n{why}\n\n## Fix\n\n{fix}\n\n\
         `pgvigil doctor` prints the statements for this cluster.\n\n## Versions\n\n{versions}\n"
    )
}

/// The list of all.
pub fn index() -> String {
    let rows = CHECKS.iter().map(|check| {
        let Check { id, severity, title, .. } = check;
        format!("| [`{id}`]({id}.md) | {} | {title} |\n", severity.as_str())
    });
    let rows: String = rows.collect();
    format!(
        "# Checks\n\nWhat `pgvigil doctor` looks at, and what `pgvigil serve` exports as `pgvigil_check_failed`. Each is failed, well, or unknown;\n\
         unknown is never well. An error does not work or endangers data; a warning will one day; a note is worth knowing.\n\n\
         | Check | Severity | All is well when |\n|---|---|---|\n{rows}"
    )
}
