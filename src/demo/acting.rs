//! What the demo's pgvigil needs to act: a runbook, the hooks that fence, and the tokens of those who may wake and approve it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::generated::{token, write};
use crate::lab::{Lab, Server};
use crate::runbook::book::Mode;

/// The runbook, named like the alert that starts it.
pub(super) const BOOK: &str = "PostgresPrimaryUnreachable";

/// Where all of it is.
pub(super) struct Acting {
    mode: Mode,
    /// What Alertmanager shows to pgvigil.
    pub(super) webhook_token: PathBuf,
    /// What a person shows to it.
    person_token: PathBuf,
    books: PathBuf,
}

impl Acting {
    /// Writes runbook, hooks and tokens.
    pub(super) fn write(lab: &Lab, mode: Mode, nodes: [&Server; 3]) -> anyhow::Result<Self> {
        let (books, hooks) = (lab.own_dir("runbooks")?, lab.own_dir("hooks")?);
        // A hook is told the old primary by its name.
        let known: String =
            nodes.map(|node| format!("  {}) dir='{}' ;;\n", node.name(), node.data_dir().display())).concat();
        let head = format!(
            "#!/bin/sh\n# Every process of a server works in its data directory.\ncase $PGV_OLD_PRIMARY_NODE in\n{known}  *) exit 30 ;;\nesac\n"
        );
        let each = "for process in /proc/[0-9]*; do\n  [ \"$(readlink \"$process/cwd\")\" = \"$dir\" ] || continue\n";
        let fence = hook(&hooks, "fence", &format!("{head}{each}  kill -9 \"${{process#/proc/}}\"\ndone\nexit 0\n"))?;
        let probe = hook(&hooks, "is-fenced", &format!("{head}{each}  exit 10\ndone\nexit 0\n"))?;
        let book = format!(
            "---\n\
             alerts: [{BOOK}]\n\
             class: failover\n\
             mode: {}\n\
             trigger: [alert]\n\
             limits: {{max_loss_bytes: 16777216, block_after_run: 0s}}\n\
             steps:\n  \
               - fence: {{argv: [{}], probe: [{}], timeout: 10s}}\n  \
               - promote: {{timeout: 30s}}\n  \
               - repoint: {{timeout: 30s}}\n  \
               - verify: {{one_writable: true, standbys_streaming_within: 30s}}\n\
             ---\n\
             # {BOOK}\n\n\
             No observer sees a primary of the demo. The fence kills every process of the old one.\n",
            mode.as_str(),
            fence.display(),
            probe.display(),
        );
        write(&books.join(format!("{BOOK}.md")), &book)?;
        let (webhook_token, _) = token(lab, "pgvigil.token")?;
        let (person_token, _) = token(lab, "person.token")?;
        Ok(Self { mode, webhook_token, person_token, books })
    }

    /// What pgvigil's configuration says of it, but for the cluster's part.
    pub(super) fn config(&self) -> String {
        format!(
            "runbook_dirs: [{}]\n\
             alertmanager: {{bearer_token_file: {}}}\n\
             access: [{{name: you, role: admin, token_file: {}}}]\n",
            self.books.display(),
            self.webhook_token.display(),
            self.person_token.display(),
        )
    }

    /// The cluster's part.
    pub(super) fn of_cluster(&self) -> String {
        format!("    manager: none\n    runbooks: {{mode: {}, single_receiver: true}}\n", self.mode.as_str())
    }
}

/// A person at a second terminal.
#[derive(Clone)]
pub(super) struct Person {
    options: String,
}

impl Person {
    /// Who may say everything to the pgvigil on this port.
    pub(super) fn of(acting: &Acting, port: u16) -> Self {
        let token_file = acting.person_token.display();
        Self { options: format!("--server http://127.0.0.1:{port} --token-file {token_file}") }
    }

    /// The line that asks pgvigil for this.
    pub(super) fn command(&self, what: &str) -> String {
        format!("  {} runbook {what} {}", super::me(), self.options)
    }
}

/// Writes a program.
fn hook(dir: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = dir.join(name);
    write(&path, text)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} a program", path.display()))?;
    Ok(path)
}
