//! WAL archiving, whole and broken.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use super::{Backend, LabError, ProcessId, Server, wait_until};

const ENDED_WITHIN: Duration = Duration::from_secs(10);

/// The process that [`Archive::Hung`] waits for; it is known by its title when it has to be ended.
const HANG: &str = "sleep 600";

/// Its command. When the sleep is killed the shell fails in an orderly way: by a signal the archiver would end too, and
/// the postmaster may take a minute to start the next.
const HANG_COMMAND: &str = "sleep 600; exit 1";

/// What `archive_command` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Archive {
    /// Copies each segment into this directory; see [`super::Lab::server_dir`].
    Into(PathBuf),
    /// Fails at once.
    Broken,
    /// Never ends.
    Hung,
    /// Ends by a signal, which also ends the archiver, and which it does not count.
    Killed,
    /// Succeeds and stores nothing.
    Noop,
    /// Empty: WAL piles up.
    Unset,
}

impl Archive {
    /// The text of `archive_command`.
    pub fn command(&self) -> String {
        match self {
            // Under its name only when it is whole.
            Self::Into(dir) => {
                let dir = dir.display();
                format!("cp \"%p\" \"{dir}/%f.tmp\" && mv \"{dir}/%f.tmp\" \"{dir}/%f\"")
            }
            Self::Broken => "/bin/false".to_owned(),
            Self::Hung => HANG_COMMAND.to_owned(),
            Self::Killed => "kill -KILL $$".to_owned(),
            Self::Noop => "cd .".to_owned(),
            Self::Unset => String::new(),
        }
    }
}

impl Server {
    /// Changes what archiving does; the server must have been made with [`super::ServerOptions::archive`]. A command
    /// that hangs from before is ended, so that the new one is tried at once.
    pub async fn archive(&self, archive: &Archive) -> Result<(), LabError> {
        let before = self.hung_commands().await;
        self.alter(&[("archive_command", &archive.command())]).await?;
        wait_until(format!("the hanging command of {} to end", self.name()), ENDED_WITHIN, async || {
            let mut hung = self.hung_commands().await;
            if *archive == Archive::Hung {
                hung.retain(|id| before.contains(id));
            }
            // The shell ends with its sleep; one that has only begun has none yet.
            for id in hung.iter().filter(|id| id.title() == HANG) {
                id.signal(Signal::KILL)?;
            }
            if hung.is_empty() { Ok(()) } else { Err(format!("{} processes are left", hung.len())) }
        })
        .await
    }

    /// The processes of a hanging command: the shell, and what it waits for.
    async fn hung_commands(&self) -> Vec<ProcessId> {
        let archiver = self.process_of(Backend::Archiver).await;
        let tree = archiver.map(ProcessId::tree).unwrap_or_default();
        let ours = |id: &ProcessId| id.title() == HANG || id.title().ends_with(HANG_COMMAND);
        tree.into_iter().filter(ours).collect()
    }

    /// Closes the current WAL segment, so that there is something to archive, and returns its name. Works on a
    /// primary.
    pub async fn switch_wal(&self) -> Result<String, LabError> {
        // A segment without a record in it is not closed.
        let name = "SELECT pg_walfile_name(pg_switch_wal()) FROM pg_create_restore_point('lab')";
        Ok(self.value(name).await?.unwrap_or_default())
    }
}
