//! The servers and programs of the demo, in the order in which they start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::acting::{Acting, Person};
use super::alerting::Alerting;
use super::generated::Webhook;
use super::runs::Runs;
use super::{Options, generated, http};
use crate::lab::{self, Archive, Lab, LabError, Server, ServerOptions, Spawn, Spawned, StandbyOptions, Wire, Writer};

const STREAMS_WITHIN: Duration = Duration::from_secs(30);
/// Segments of 1 MB that the archive keeps.
const ARCHIVED_SEGMENTS: usize = 256;
/// How long a program may take until it answers.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// Everything that runs.
pub(super) struct Cast {
    /// The primary at first.
    pub(super) a: Server,
    /// A standby with a slot, streaming through [`Cast::wire`].
    pub(super) b: Server,
    /// A standby without a slot.
    pub(super) c: Server,
    /// Between `a` and `b`.
    pub(super) wire: Wire,
    /// Writes to whichever server is the primary.
    pub(super) writer: Writer,
    pub(super) write_rate: u32,
    pub(super) archive: PathBuf,
    pub(super) pgvigil_port: u16,
    pub(super) prometheus_port: Option<u16>,
    pub(super) alerting: Option<Alerting>,
    pub(super) person: Person,
    pub(super) runs: Runs,
    programs: Vec<Arc<Spawned>>,
}

impl Cast {
    /// Starts all of it; `step` hears of each part that runs.
    pub(super) async fn start(lab: &Lab, options: Options, step: fn(&str, &str, Duration)) -> anyhow::Result<Self> {
        let archive = lab.server_dir("archive")?;
        let clock = Clock(Instant::now(), step);
        // A cut-off standby costs this much disk at most, and then its slot is lost: worth seeing too.
        let settings = || {
            let archive = Archive::Into(archive.clone());
            ServerOptions::default().archive(&archive).set("max_slot_wal_keep_size", "256MB")
        };
        let a = lab.primary("a", settings()).await?;
        let mut clock = clock.ran("primary a", a.port());

        let wire = Wire::to(a.port()).await?;
        let through_port = Some(wire.port());
        let with_slot =
            StandbyOptions { slot: Some("b".to_owned()), through_port, server: settings(), ..Default::default() };
        let b = lab.standby_of(&a, "b", with_slot).await?;
        a.wait_streaming("b", STREAMS_WITHIN).await?;
        clock = clock.ran("standby b, with a slot", b.port());

        let c = lab.standby_of(&a, "c", StandbyOptions { server: settings(), ..Default::default() }).await?;
        a.wait_streaming("c", STREAMS_WITHIN).await?;
        clock = clock.ran("standby c, without", c.port());

        let writer = Writer::start(&a, options.write_rate).await?;
        let pgvigil_port = lab.free_port()?;
        let acting = Acting::write(lab, options.mode, [&a, &b, &c])?;
        let state_dir = lab.own_dir("state")?;
        let config = generated::config(lab, pgvigil_port, &state_dir, [&a, &b, &c], &acting)?;
        let program = std::env::current_exe().context("cannot find the program that runs")?;
        let pgvigil = lab.spawn(Spawn::new("pgvigil", program).arg("serve").arg("--config").arg(config))?;
        http::wait_ok(&pgvigil, pgvigil_port, "/-/ready", ANSWERS_WITHIN).await?;
        clock = clock.ran("pgvigil serve", pgvigil_port);

        let person = Person::of(&acting, pgvigil_port);
        let runs = Runs::tell(&state_dir, person.clone(), super::say);
        let webhook = Webhook {
            url: format!("http://127.0.0.1:{pgvigil_port}/alertmanager"),
            token_file: acting.webhook_token.clone(),
        };

        let mut programs = vec![pgvigil];
        let (mut prometheus_port, mut alerting) = (None, None);
        match lab::prometheus() {
            Ok(program) => {
                match lab::alertmanager() {
                    Ok(program) => {
                        let started = Alerting::start(lab, program, &webhook).await?;
                        clock = clock.ran("Alertmanager", started.port);
                        programs.push(Arc::clone(&started.process));
                        alerting = Some(started);
                    }
                    Err(missing) => super::say(&format!("  going on without Alertmanager: {missing}")),
                }
                let (port, alerts_to) = (lab.free_port()?, alerting.as_ref().map(|alerting| alerting.port));
                let prometheus = generated::prometheus(lab, program, port, pgvigil_port, alerts_to)?;
                let prometheus = lab.spawn(prometheus)?;
                http::wait_ok(&prometheus, port, "/-/ready", ANSWERS_WITHIN).await?;
                clock.ran("Prometheus", port);
                programs.push(prometheus);
                prometheus_port = Some(port);
            }
            Err(missing) => super::say(&format!("  going on without Prometheus: {missing}")),
        }
        let write_rate = options.write_rate;
        Ok(Self {
            a,
            b,
            c,
            wire,
            writer,
            write_rate,
            archive,
            pgvigil_port,
            prometheus_port,
            alerting,
            person,
            runs,
            programs,
        })
    }

    /// The former standby that takes writes, and the other one.
    pub(super) async fn promoted(&self) -> Option<(&Server, &Server)> {
        for (one, other) in [(&self.b, &self.c), (&self.c, &self.b)] {
            if one.value("SELECT pg_is_in_recovery()").await.is_ok_and(|standby| standby.as_deref() == Some("f")) {
                return Some((one, other));
            }
        }
        None
    }

    /// Lets the writes go to the node of this name from now on.
    pub(super) async fn write_to(&mut self, name: &str) -> Result<(), LabError> {
        if let Some(node) = [&self.a, &self.b, &self.c].into_iter().find(|node| node.name() == name) {
            self.writer = Writer::start(node, self.write_rate).await?;
        }
        Ok(())
    }

    /// The programs beside the servers; the demo ends when one of them does.
    pub(super) fn programs(&self) -> &[Arc<Spawned>] {
        &self.programs
    }

    /// Removes the oldest archived segments, so that a forgotten demo does not fill the disk.
    pub(super) fn prune_archive(&self) {
        let entries = std::fs::read_dir(&self.archive).into_iter().flatten().flatten();
        let mut segments: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        // Names of one timeline sort by age, and older timelines first.
        segments.sort();
        for old in segments.iter().take(segments.len().saturating_sub(ARCHIVED_SEGMENTS)) {
            let _ = std::fs::remove_file(old);
        }
    }

    /// How a person gets into the database.
    pub(super) fn psql(&self) -> String {
        format!("psql 'host={} port={} user=postgres'", self.a.socket_dir().display(), self.a.port())
    }
}

/// Tells how long each part took.
struct Clock(Instant, fn(&str, &str, Duration));

impl Clock {
    fn ran(self, what: &str, port: u16) -> Self {
        (self.1)(what, &format!("127.0.0.1:{port}"), self.0.elapsed());
        Self(Instant::now(), self.1)
    }
}
