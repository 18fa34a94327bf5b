//! The lab's directory, the account that servers run under, and the end of everything.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::proc::{self, ProcessId};
use super::spawn::{self, Spawn, Spawned};
use super::{Binaries, LabError, port};

const PREFIX: &str = "pgvigil-lab";

/// Inherited by every process of a lab; its value is the lab's directory.
pub(super) const VARIABLE: &str = "LAB_ROOT";

/// A socket path holds 107 bytes; this leaves room for the directory's own name and the socket's.
const LONGEST_BASE: usize = 40;

/// A place for servers on this machine. Clones share it; when the last one (and the last server) is dropped, all its
/// processes are killed and its directory is removed. `LAB_KEEP=1` keeps the directory, for its logs.
#[derive(Clone)]
pub struct Lab {
    inner: Arc<Inner>,
}

struct Inner {
    dir: Arc<RootDir>,
    binaries: Binaries,
    spawned: Mutex<Vec<Weak<Spawned>>>,
}

impl Lab {
    /// Opens a lab with the PostgreSQL that [`Binaries::find`] finds. Reaps what killed runs left first.
    pub fn new() -> Result<Self, LabError> {
        Self::with(Binaries::find()?)
    }

    /// Opens a lab with this PostgreSQL.
    pub fn with(binaries: Binaries) -> Result<Self, LabError> {
        reap_leftovers();
        let dir = Arc::new(RootDir::create()?);
        dir.create_dir("s", true)?;
        dir.create_dir("home", true)?;
        Ok(Self { inner: Arc::new(Inner { dir, binaries, spawned: Mutex::default() }) })
    }

    /// The lab's directory; every user may pass through it.
    pub fn path(&self) -> &Path {
        &self.inner.dir.path
    }

    /// The PostgreSQL programs in use.
    pub fn binaries(&self) -> &Binaries {
        &self.inner.binaries
    }

    /// Makes a directory in the lab that the servers may write to, such as a WAL archive.
    pub fn server_dir(&self, name: &str) -> Result<PathBuf, LabError> {
        self.inner.dir.create_dir(name, true)
    }

    /// Makes a directory in the lab that belongs to the user who runs it.
    pub fn own_dir(&self, name: &str) -> Result<PathBuf, LabError> {
        self.inner.dir.create_dir(name, false)
    }

    /// A TCP port of 127.0.0.1 that nobody listens on.
    pub fn free_port(&self) -> Result<u16, LabError> {
        port::free()
    }

    /// Starts any program inside the lab; it ends with the lab.
    pub fn spawn(&self, spawn: Spawn) -> Result<Arc<Spawned>, LabError> {
        let spawned = Arc::new(spawn::start(spawn, &self.inner.dir)?);
        let mut all = self.inner.spawned.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(&spawned));
        Ok(spawned)
    }

    /// Ends every process of the lab now and waits for it. Handles that are still around stay valid but point to
    /// stopped servers; the directory goes with the last of them.
    pub async fn stop(self) {
        let inner = self.inner;
        // Killing and waiting is short but blocking.
        let _ = tokio::task::spawn_blocking(move || inner.end()).await;
    }

    /// The directory and account, shared with servers.
    pub(super) fn root(&self) -> &Arc<RootDir> {
        &self.inner.dir
    }
}

impl Inner {
    fn end(&self) {
        let spawned: Vec<_> = {
            let mut all = self.spawned.lock().unwrap_or_else(PoisonError::into_inner);
            all.drain(..).filter_map(|weak| weak.upgrade()).collect()
        };
        spawned.iter().for_each(|process| process.end());
        self.dir.end_processes();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end();
    }
}

/// The uid and gid that PostgreSQL runs under where we are root, which it refuses to run as.
#[derive(Clone, Copy)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// A directory whose name says which process owns it; removed on drop.
pub(super) struct RootDir {
    pub(super) path: PathBuf,
    pub(super) account: Option<Account>,
}

impl RootDir {
    pub(super) fn create() -> Result<Self, LabError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let own = ProcessId::own().unwrap_or(ProcessId { pid: 0, started: 0 });
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}.{}.{}.{}.{number}", namespace(), own.pid, own.started);
        let account = rustix::process::geteuid().is_root().then(server_account);
        let path = base(account.is_some()).join(name);
        std::fs::DirBuilder::new().mode(0o755).create(&path).map_err(LabError::io("create", &path))?;
        let dir = Self { path, account };
        // The umask must not close what other users pass through.
        dir.set_mode(&dir.path, 0o755)?;
        dir.create_dir("run", false)?;
        Ok(dir)
    }

    /// Makes a directory, private to the servers' account (`for_servers`) or readable by all.
    pub(super) fn create_dir(&self, name: &str, for_servers: bool) -> Result<PathBuf, LabError> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).map_err(LabError::io("create", &path))?;
        if for_servers {
            self.give(&path)?;
        }
        self.set_mode(&path, if for_servers { 0o700 } else { 0o755 })?;
        Ok(path)
    }

    /// Hands a path to the servers' account.
    pub(super) fn give(&self, path: &Path) -> Result<(), LabError> {
        match self.account {
            Some(account) => {
                chown(path, Some(account.uid), Some(account.gid)).map_err(LabError::io("change the owner of", path))
            }
            None => Ok(()),
        }
    }

    /// Writes a file that the servers can read.
    pub(super) fn write(&self, path: &Path, text: &str) -> Result<(), LabError> {
        std::fs::write(path, text).map_err(LabError::io("write", path))?;
        self.give(path)
    }

    fn set_mode(&self, path: &Path, mode: u32) -> Result<(), LabError> {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, permissions).map_err(LabError::io("change the mode of", path))
    }

    fn end_processes(&self) {
        end_processes(&self.path);
    }
}

impl Drop for RootDir {
    fn drop(&mut self) {
        self.end_processes();
        if std::env::var_os("LAB_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(&self.path);
        } else {
            let _ = std::fs::write(self.path.join("keep"), "");
        }
    }
}

/// Ends the processes and removes the directories of labs whose owner is gone, and returns those directories.
///
/// An owner is known by pid and start time, both in the directory's name. Of the processes that its markers name only
/// those are killed whose start time and working directory still are what the marker says, and beside them what runs
/// with a working directory inside that lab and was started by it.
pub fn reap_leftovers() -> Vec<PathBuf> {
    let own_uid = rustix::process::geteuid().as_raw();
    let mut bases = vec![std::env::temp_dir(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")];
    bases.sort();
    bases.dedup();
    let entries = bases.iter().flat_map(std::fs::read_dir).flatten().flatten();
    let mut reaped = Vec::new();
    for path in entries.map(|entry| entry.path()) {
        // Not somebody else's directory with a name like ours, and not a link to one.
        let ours = std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir() && meta.uid() == own_uid);
        if ours && owner(&path).is_some_and(|owner| !owner.alive()) {
            end_processes(&path);
            if !path.join("keep").exists() && std::fs::remove_dir_all(&path).is_ok() {
                reaped.push(path);
            }
        }
    }
    reaped
}

/// The process that a lab directory's name speaks of, if it is of our pid namespace.
fn owner(path: &Path) -> Option<ProcessId> {
    let mut words = path.file_name()?.to_str()?.split('.');
    let ours = words.next() == Some(PREFIX) && words.next() == Some(namespace().as_str());
    let (pid, started) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    ours.then_some(ProcessId { pid, started })
}

fn end_processes(root: &Path) {
    let mut victims = spawn::marked(root);
    victims.extend(proc::inside(root, root));
    let mut killed = Vec::new();
    for victim in victims {
        killed.extend(victim.kill_tree().unwrap_or_default());
    }
    proc::await_gone(&killed);
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        spawn::release_shared_memory(&entry.path().join("data"));
    }
}

/// Where the directory goes: the temporary directory, unless it is too deep for sockets or closed to the servers.
fn base(for_others: bool) -> PathBuf {
    let usable = |dir: &Path| {
        let open = |dir: &Path| std::fs::metadata(dir).is_ok_and(|meta| meta.mode() & 0o001 != 0);
        dir.is_absolute() && dir.as_os_str().len() <= LONGEST_BASE && (!for_others || dir.ancestors().all(open))
    };
    let temporary = std::env::temp_dir();
    if usable(&temporary) { temporary } else { PathBuf::from("/tmp") }
}

/// The account of PostgreSQL, `postgres` or else `nobody`, by `/etc/passwd`.
fn server_account() -> Account {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        let mut fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let fields = fields.find(|fields| fields.first() == Some(&name))?;
        Some(Account { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    };
    find("postgres").or_else(|| find("nobody")).unwrap_or(Account { uid: 65_534, gid: 65_534 })
}

/// The pid namespace: a pid of another container says nothing about the processes here.
fn namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

/// A random number, from the kernel.
pub(super) fn random() -> u64 {
    let mut bytes = [0; 8];
    match std::fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes)) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => RandomState::new().build_hasher().finish(),
    }
}
