//! Faults: kill, freeze, pause, delay, promote.

use std::time::Duration;

use rustix::process::Signal;

use super::{LabError, ProcessId, Server, proc, wait_until};

const PROMOTE_WITHIN: Duration = Duration::from_secs(30);

/// One process of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend<'a> {
    /// The parent of all: frozen alone, open connections go on working and nobody can log in.
    Postmaster,
    /// Receives WAL on a standby.
    WalReceiver,
    /// Replays WAL on a standby.
    Startup,
    /// Runs `archive_command`.
    Archiver,
    /// Writes checkpoints.
    Checkpointer,
    /// Flushes WAL in the background.
    WalWriter,
    /// Sends WAL to the standby with this application name.
    WalSender(&'a str),
    /// The backend with this pid.
    Pid(i32),
}

impl Backend<'_> {
    /// How its process title begins, after `postgres: ` and a cluster name.
    fn title(self) -> &'static str {
        match self {
            Self::Postmaster | Self::Pid(_) => "",
            Self::WalReceiver => "walreceiver",
            Self::Startup => "startup",
            Self::Archiver => "archiver",
            Self::Checkpointer => "checkpointer",
            Self::WalWriter => "walwriter",
            Self::WalSender(_) => "walsender",
        }
    }
}

impl Server {
    /// Kills the whole server (SIGKILL), its children too, and waits until all are gone.
    pub fn kill(&self) {
        if let Some(process) = self.process() {
            process.kill();
        }
    }

    /// Kills the postmaster alone. Its children notice within moments, and may go on committing until then.
    pub fn kill_postmaster(&self) -> Result<(), LabError> {
        self.process().map_or(Ok(()), |process| process.signal(Signal::KILL))
    }

    /// Stops the whole server (SIGSTOP): its port still accepts connections and says nothing.
    pub fn freeze(&self) -> Result<(), LabError> {
        self.process().map_or(Ok(()), |process| process.freeze())
    }

    /// Lets the whole server go on (SIGCONT), whatever part of it was frozen.
    pub fn thaw(&self) -> Result<(), LabError> {
        self.process().map_or(Ok(()), |process| process.thaw())
    }

    /// Stops one process of the server, and returns it. [`Server::thaw`] lets it go on.
    pub async fn freeze_process(&self, backend: Backend<'_>) -> Result<ProcessId, LabError> {
        let id = self.process_of(backend).await?;
        id.signal(Signal::STOP)?;
        Ok(id)
    }

    /// Sends a signal to one process of the server, and returns it.
    pub async fn signal_process(&self, backend: Backend<'_>, signal: Signal) -> Result<ProcessId, LabError> {
        let id = self.process_of(backend).await?;
        id.signal(signal)?;
        Ok(id)
    }

    /// Finds one process of the server: by its title, a walsender by its row. Only a walsender takes SQL.
    pub async fn process_of(&self, backend: Backend<'_>) -> Result<ProcessId, LabError> {
        let missing = || LabError::NoProcess { server: self.name().to_owned(), what: format!("{backend:?}") };
        let postmaster = self.process().map(|process| process.id()).filter(|id| id.alive()).ok_or_else(missing)?;
        let pid = match backend {
            Backend::Postmaster => return Ok(postmaster),
            Backend::Pid(pid) => Some(pid),
            Backend::WalSender(name) => {
                let sql = format!("SELECT pid FROM pg_stat_replication WHERE application_name = '{name}'");
                Some(self.value(&sql).await?.and_then(|pid| pid.parse().ok()).ok_or_else(missing)?)
            }
            _ => None,
        };
        let named = |id: &ProcessId| {
            let title = id.title();
            // "postgres: startup recovering …", or "postgres: cluster: startup …".
            title.starts_with("postgres: ") && title.split(": ").skip(1).any(|part| part.starts_with(backend.title()))
        };
        let wanted = |id: &ProcessId| pid.map_or_else(|| named(id), |pid| id.pid == pid);
        proc::ProcessId::children(postmaster).into_iter().find(wanted).ok_or_else(missing)
    }

    /// Promotes a standby and waits until it takes writes.
    pub async fn promote(&self) -> Result<(), LabError> {
        self.sql("SELECT pg_promote(true, 30)").await?;
        wait_until(format!("{} to take writes", self.name()), PROMOTE_WITHIN, async || {
            let standby = self.value("SELECT pg_is_in_recovery()").await?;
            if standby.as_deref() == Some("f") { Ok(()) } else { Err("still in recovery".to_owned()) }
        })
        .await
    }

    /// Pauses replay on a standby; it receives on. Waits until replay stands still where the version can tell (14+).
    pub async fn pause_replay(&self) -> Result<(), LabError> {
        self.sql("SELECT pg_wal_replay_pause()").await?;
        if self.major() < 14 {
            return Ok(());
        }
        wait_until(format!("{} to pause", self.name()), Duration::from_secs(10), async || {
            let state = self.value("SELECT pg_get_wal_replay_pause_state()").await?;
            if state.as_deref() == Some("paused") { Ok(()) } else { Err(format!("{state:?}")) }
        })
        .await
    }

    /// Lets replay go on.
    pub async fn resume_replay(&self) -> Result<(), LabError> {
        self.sql("SELECT pg_wal_replay_resume()").await
    }

    /// Sets `recovery_min_apply_delay` on a running standby.
    pub async fn apply_delay(&self, delay: Duration) -> Result<(), LabError> {
        self.alter(&[("recovery_min_apply_delay", &format!("{}ms", delay.as_millis()))]).await
    }
}
