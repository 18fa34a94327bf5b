//! Standbys: made from a running server, or from an old primary that comes back.

use std::path::Path;
use std::time::Duration;

use super::{Lab, LabError, Role, Server, ServerOptions, StopMode, backup};

/// How a standby is made and fed.
#[derive(Clone, Debug, Default)]
pub struct StandbyOptions {
    /// The name its WAL receiver gives; its own name unless set.
    pub application_name: Option<String>,
    /// A physical slot that is made on the upstream server and used.
    pub slot: Option<String>,
    /// Feeds it from an archive, beside or instead of streaming; see [`super::Archive::restore_command`].
    pub restore_command: Option<String>,
    /// No streaming at all: `restore_command` is its only source.
    pub archive_only: bool,
    /// Replays this long after commit.
    pub apply_delay: Option<Duration>,
    /// Streams through this port of 127.0.0.1, that of a [`super::Wire`], instead of the upstream's own.
    pub through_port: Option<u16>,
    /// Further parameters.
    pub server: ServerOptions,
}

impl Lab {
    /// Makes a standby of `upstream`, which may itself be a standby, starts it and waits until it answers. It may not
    /// stream yet: see [`Server::wait_streaming`].
    pub async fn standby_of(&self, upstream: &Server, name: &str, options: StandbyOptions) -> Result<Server, LabError> {
        let server = self.standby_made(upstream, name, options).await?;
        server.start().await?;
        Ok(server)
    }

    /// The same, but not started.
    pub async fn standby_made(
        &self,
        upstream: &Server,
        name: &str,
        options: StandbyOptions,
    ) -> Result<Server, LabError> {
        if let Some(slot) = &options.slot {
            let reserve = format!("SELECT pg_create_physical_replication_slot('{slot}', true)");
            upstream.sql(&reserve).await?;
        }
        let data = self.server_dir(name)?.join("data");
        backup::take(upstream, &data).await?;
        let mut settings = options.server.clone();
        if !options.archive_only {
            let application = options.application_name.as_deref().unwrap_or(name);
            let port = options.through_port.unwrap_or_else(|| upstream.port());
            settings = settings.set("primary_conninfo", conninfo(port, application));
        }
        if let Some(slot) = &options.slot {
            settings = settings.set("primary_slot_name", slot);
        }
        if let Some(command) = &options.restore_command {
            settings = settings.set("restore_command", command);
        }
        if let Some(delay) = options.apply_delay {
            settings = settings.set("recovery_min_apply_delay", format!("{}ms", delay.as_millis()));
        }
        let template = upstream.template();
        let server = self.adopt(name, data, settings.into_settings(), template)?;
        server.mark_standby()?;
        Ok(server)
    }
}

impl Server {
    /// Brings this server back as a standby of `upstream`, stopping it first where it runs. One that has WAL beyond
    /// the fork starts too, and then cannot stream: diverged.
    pub async fn rejoin(&self, upstream: &Server, slot: Option<&str>) -> Result<(), LabError> {
        self.stop(StopMode::Fast).await?;
        if let Some(slot) = slot {
            let known = format!("SELECT 1 FROM pg_replication_slots WHERE slot_name = '{slot}'");
            if upstream.query(&known).await?.is_empty() {
                upstream.sql(&format!("SELECT pg_create_physical_replication_slot('{slot}', true)")).await?;
            }
        }
        self.follow_on_start(upstream.port(), slot.unwrap_or_default());
        self.mark_standby()?;
        self.start().await
    }

    /// Points a running standby to another upstream port, such as that of a promoted server or a [`super::Wire`].
    pub async fn repoint(&self, port: u16) -> Result<(), LabError> {
        self.configure(&[("primary_conninfo", &conninfo(port, self.name()))]);
        self.reload().await
    }

    /// Waits until this server has a streaming walsender for that application name.
    pub async fn wait_streaming(&self, application_name: &str, within: Duration) -> Result<(), LabError> {
        let what = format!("{application_name} to stream from {}", self.name());
        let sql = format!("SELECT state FROM pg_stat_replication WHERE application_name = '{application_name}'");
        super::wait_until(what, within, async || {
            let state = self.value(&sql).await?;
            if state.as_deref() == Some("streaming") { Ok(()) } else { Err(format!("state {state:?}")) }
        })
        .await
    }

    /// Waits until this standby has replayed all that `upstream` had flushed when the wait began.
    pub async fn wait_caught_up(&self, upstream: &Server, within: Duration) -> Result<(), LabError> {
        let flushed = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
                       ELSE pg_current_wal_flush_lsn() END::text";
        let goal = upstream.value(flushed).await?.unwrap_or_else(|| "0/0".to_owned());
        let sql = format!("SELECT pg_last_wal_replay_lsn()::text, pg_last_wal_replay_lsn() >= '{goal}'");
        super::wait_until(format!("{} to replay {goal}", self.name()), within, async || {
            let row = self.query(&sql).await?.pop().unwrap_or_default();
            match row.as_slice() {
                [_, Some(reached)] if reached == "t" => Ok(()),
                row => Err(format!("replayed {:?}", row.first())),
            }
        })
        .await
    }

    fn follow_on_start(&self, port: u16, slot: &str) {
        self.configure(&[("primary_conninfo", &conninfo(port, self.name())), ("primary_slot_name", slot)]);
    }

    fn mark_standby(&self) -> Result<(), LabError> {
        self.inner.lab.root().write(&self.data_dir().join("standby.signal"), "")
    }
}

fn conninfo(port: u16, application_name: &str) -> String {
    let (user, password) = (Role::Replicator.name(), Role::Replicator.password());
    format!("host=127.0.0.1 port={port} user={user} password={password} application_name={application_name}")
}

impl super::Archive {
    /// What a standby fetches its WAL with.
    pub fn restore_command(dir: &Path) -> String {
        format!("cp \"{}/%f\" \"%p\"", dir.display())
    }
}
