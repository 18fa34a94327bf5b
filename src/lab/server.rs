//! One PostgreSQL server: made, started, stopped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use super::spawn::{self, Spawn, Spawned};
use super::template::{self, CONF, Template};
use super::{Archive, Lab, LabError, proc, wait_until};

const START_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// How a server is made.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    settings: BTreeMap<String, String>,
    fresh_identity: bool,
    checksums: bool,
}

impl ServerOptions {
    /// Sets a parameter in the server's configuration file; it wins over the lab's own choice.
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    /// Turns `archive_mode` on from the start, with this command.
    pub fn archive(self, archive: &Archive) -> Self {
        self.set("archive_mode", "on").set("archive_command", archive.command())
    }

    /// Runs an own `initdb`: servers that come from the shared template have one system identifier.
    pub fn fresh_identity(mut self) -> Self {
        self.fresh_identity = true;
        self
    }

    /// Runs an own `initdb`, so that pages bear checksums on every version.
    pub fn checksums(mut self) -> Self {
        self.checksums = true;
        self
    }

    pub(super) fn into_settings(self) -> BTreeMap<String, String> {
        self.settings
    }
}

/// How a server is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Waits for its clients (SIGTERM).
    Smart,
    /// Ends its clients and writes a shutdown checkpoint (SIGINT).
    Fast,
    /// Ends at once; the next start recovers (SIGQUIT).
    Immediate,
}

/// A server of the lab. Clones share it; when the last one is dropped it is killed.
#[derive(Clone)]
pub struct Server {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) name: String,
    pub(super) data: PathBuf,
    port: u16,
    settings: Mutex<BTreeMap<String, String>>,
    process: Mutex<Option<Arc<Spawned>>>,
    // Kept so that the servers of a run share one template.
    template: Option<Arc<Template>>,
    pub(super) lab: Lab,
}

impl Lab {
    /// Makes and starts a primary and waits until it answers.
    pub async fn primary(&self, name: &str, options: ServerOptions) -> Result<Server, LabError> {
        let data = self.server_dir(name)?.join("data");
        let template = if options.fresh_identity || options.checksums {
            self.root().create_dir(&format!("{name}/data"), true)?;
            let more: &[&str] = if options.checksums { &["--data-checksums"] } else { &[] };
            template::initialise(self.binaries(), self.root(), &data, more).await?;
            None
        } else {
            let template = template::shared(self.binaries()).await?;
            template.copy_to(&data, self.root()).await?;
            Some(template)
        };
        let server = self.adopt(name, data, options.settings, template)?;
        server.start().await?;
        Ok(server)
    }

    /// Takes a data directory that is ready to be started.
    pub(super) fn adopt(
        &self,
        name: &str,
        data: PathBuf,
        settings: BTreeMap<String, String>,
        template: Option<Arc<Template>>,
    ) -> Result<Server, LabError> {
        let port = self.free_port()?;
        let sockets = self.path().join("s").display().to_string();
        let port_text = port.to_string();
        let own = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &port_text),
            ("unix_socket_directories", &sockets),
            ("wal_level", "replica"),
            ("max_wal_senders", "10"),
            ("max_replication_slots", "10"),
            ("max_connections", "40"),
            ("hot_standby", "on"),
            ("wal_keep_size", "64MB"),
            ("max_wal_size", "256MB"),
            ("shared_buffers", "16MB"),
            ("wal_retrieve_retry_interval", "500ms"),
            ("fsync", "off"),
            // Files in the data directory: /dev/shm would keep what a kill leaves.
            ("dynamic_shared_memory_type", "mmap"),
            ("logging_collector", "off"),
            ("log_line_prefix", "%m [%p] %q%a "),
        ];
        let mut all: BTreeMap<String, String> = own.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        all.extend(settings);
        let inner = Inner {
            name: name.to_owned(),
            data,
            port,
            settings: Mutex::new(all),
            process: Mutex::default(),
            template,
            lab: self.clone(),
        };
        Ok(Server { inner: Arc::new(inner) })
    }
}

impl Server {
    /// Its name in the lab.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.inner.port
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        &self.inner.data
    }

    /// The directory of its socket.
    pub fn socket_dir(&self) -> PathBuf {
        self.inner.lab.path().join("s")
    }

    /// The file it logs to.
    pub fn log_path(&self) -> PathBuf {
        self.inner.lab.path().join(format!("{}.log", self.inner.name))
    }

    /// What it logged since its last start.
    pub fn log(&self) -> String {
        self.process().map(|process| process.log()).unwrap_or_default()
    }

    /// The major version, 13 to 18.
    pub fn major(&self) -> u32 {
        self.inner.lab.binaries().major()
    }

    /// Whether its postmaster runs (or is frozen).
    pub fn running(&self) -> bool {
        self.process().is_some_and(|process| process.ended().is_none())
    }

    /// Changes parameters in its configuration file, for the next start or [`Server::reload`].
    pub fn configure(&self, settings: &[(&str, &str)]) {
        let mut all = lock(&self.inner.settings);
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    }

    /// Starts it and waits until it answers.
    pub async fn start(&self) -> Result<(), LabError> {
        self.spawn()?;
        self.wait_ready(START_WITHIN).await
    }

    /// Starts it without waiting: a server that cannot get ready (a standby that waits for WAL) stays "starting up".
    pub fn spawn(&self) -> Result<(), LabError> {
        let inner = &self.inner;
        self.write_settings()?;
        let program = inner.lab.binaries().program("postgres");
        let spawn = Spawn::new(&inner.name, program).arg("-D").arg(&inner.data).cwd(&inner.data).as_server();
        let process = inner.lab.spawn(spawn)?;
        *lock(&inner.process) = Some(process);
        Ok(())
    }

    /// Waits until it answers a query.
    pub async fn wait_ready(&self, within: Duration) -> Result<(), LabError> {
        let what = format!("server {} to answer", self.name());
        let answer = wait_until(what, within, async || {
            if let Some(ended) = self.early_end() {
                return Ok(Err(ended));
            }
            self.query("SELECT 1").await?;
            Ok(Ok(()))
        });
        answer.await?
    }

    fn early_end(&self) -> Option<LabError> {
        let process = self.process()?;
        let status = process.ended()?.to_string();
        Some(LabError::Ended { name: self.name().to_owned(), status, log: process.log_tail(20) })
    }

    /// Stops it and waits until it is gone; a frozen one is thawed first.
    pub async fn stop(&self, mode: StopMode) -> Result<(), LabError> {
        self.thaw()?;
        self.request_stop(mode)?;
        self.wait_stopped(STOP_WITHIN).await
    }

    /// Asks it to stop, without waiting.
    pub fn request_stop(&self, mode: StopMode) -> Result<(), LabError> {
        let signal = match mode {
            StopMode::Smart => Signal::TERM,
            StopMode::Fast => Signal::INT,
            StopMode::Immediate => Signal::QUIT,
        };
        self.process().map_or(Ok(()), |process| process.signal(signal))
    }

    /// Waits until its postmaster has ended.
    pub async fn wait_stopped(&self, within: Duration) -> Result<(), LabError> {
        match self.process() {
            Some(process) => process.wait(within).await.map(drop),
            None => Ok(()),
        }
    }

    /// Stops it fast and starts it again.
    pub async fn restart(&self) -> Result<(), LabError> {
        self.stop(StopMode::Fast).await?;
        self.start().await
    }

    pub(super) fn process(&self) -> Option<Arc<Spawned>> {
        lock(&self.inner.process).clone()
    }

    pub(super) fn template(&self) -> Option<Arc<Template>> {
        self.inner.template.clone()
    }

    pub(super) fn write_settings(&self) -> Result<(), LabError> {
        let settings = lock(&self.inner.settings);
        let line = |(name, value): (&String, &String)| format!("{name} = '{}'\n", value.replace('\'', "''"));
        let text: String = settings.iter().map(line).collect();
        self.inner.lab.root().write(&self.inner.data.join(CONF), &text)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(lock(&self.process).take());
        // Orphans of a postmaster that was killed alone, and their archive commands.
        let orphans = proc::inside(&self.data, self.lab.path());
        let killed: Vec<_> = orphans.iter().flat_map(|id| id.kill_tree().unwrap_or_default()).collect();
        proc::await_gone(&killed);
        spawn::release_shared_memory(&self.data);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
