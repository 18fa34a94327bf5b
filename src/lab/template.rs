//! One `initdb` for all servers of a run: a cluster that is made once for each PostgreSQL version and then copied.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Mutex;

use super::root::{RootDir, random};
use super::{Binaries, LabError};

const INITDB_WITHIN: Duration = Duration::from_secs(60);

/// The settings of one server; `include_if_exists` at the end of its `postgresql.conf`.
pub(super) const CONF: &str = "lab.conf";

/// The password of every role of every server of this process.
pub(super) static PASSWORD: LazyLock<String> = LazyLock::new(|| format!("{:016x}{:016x}", random(), random()));

/// An initialised, never started cluster, kept while a server that came from it lives.
pub(super) struct Template {
    _dir: RootDir,
    data: PathBuf,
}

/// The template of this version, made on first use.
pub(super) async fn shared(binaries: &Binaries) -> Result<Arc<Template>, LabError> {
    static KNOWN: Mutex<BTreeMap<PathBuf, Weak<Template>>> = Mutex::const_new(BTreeMap::new());
    let mut known = KNOWN.lock().await;
    if let Some(template) = known.get(binaries.dir()).and_then(Weak::upgrade) {
        return Ok(template);
    }
    let dir = RootDir::create()?;
    dir.create_dir("home", true)?;
    let data = dir.create_dir("data", true)?;
    initialise(binaries, &dir, &data, &[]).await?;
    let template = Arc::new(Template { _dir: dir, data });
    known.insert(binaries.dir().to_path_buf(), Arc::downgrade(&template));
    Ok(template)
}

impl Template {
    /// Copies the cluster to `data`, which is made; it keeps the template's system identifier.
    pub(super) async fn copy_to(&self, data: &Path, root: &Arc<RootDir>) -> Result<(), LabError> {
        copy_tree(&self.data, data, root, |_| true).await
    }
}

/// Makes a cluster in the empty directory `data`: role `postgres`, trust over the socket (whose directory is private),
/// SCRAM over TCP, segments of 1 MB, and the roles of [`super::Role`]. `more`: arguments of `initdb`.
pub(super) async fn initialise(
    binaries: &Binaries,
    root: &RootDir,
    data: &Path,
    more: &[&str],
) -> Result<(), LabError> {
    let pwfile = root.path.join("home/password");
    root.write(&pwfile, &PASSWORD)?;
    let mut initdb = command(binaries, root, "initdb");
    initdb.arg("-D").arg(data).arg("--pwfile").arg(&pwfile).args([
        "--username=postgres",
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--wal-segsize=1",
        "--no-sync",
    ]);
    initdb.args(more);
    run(initdb, "").await?;
    let roles = format!(
        "CREATE ROLE pgvigil LOGIN PASSWORD '{0}' IN ROLE pg_monitor\n\
         CREATE ROLE plain LOGIN PASSWORD '{0}'\n\
         CREATE ROLE replicator LOGIN REPLICATION PASSWORD '{0}'\n",
        *PASSWORD
    );
    let mut single = command(binaries, root, "postgres");
    single.args(["--single", "-F", "-c", "password_encryption=scram-sha-256", "-D"]).arg(data).arg("postgres");
    run(single, &roles).await?;
    let conf = data.join("postgresql.conf");
    let include = format!("\ninclude_if_exists = '{CONF}'\n");
    let append = |path: &Path| std::fs::OpenOptions::new().append(true).open(path)?.write_all(include.as_bytes());
    append(&conf).map_err(LabError::io("write", &conf))
}

fn command(binaries: &Binaries, root: &RootDir, program: &str) -> Command {
    let mut command = Command::new(binaries.program(program));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C");
    command.env("HOME", root.path.join("home")).current_dir(&root.path).kill_on_drop(true);
    if let Some(account) = root.account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

async fn run(mut command: Command, input: &str) -> Result<(), LabError> {
    let program = PathBuf::from(command.as_std().get_program());
    let fail = |status: String, output: Option<Output>| {
        let text = output.map(|o| [o.stdout, o.stderr].concat()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        LabError::Command { program: program.display().to_string(), status, output: text }
    };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(LabError::io("run", &program))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await.map_err(LabError::io("write to", &program))?;
    }
    let output = match tokio::time::timeout(INITDB_WITHIN, child.wait_with_output()).await {
        Ok(output) => output.map_err(LabError::io("run", &program))?,
        Err(_) => {
            return Err(fail(format!("no end within {} s", INITDB_WITHIN.as_secs()), None));
        }
    };
    // A failed statement in single-user mode leaves the exit status at 0.
    let refused = String::from_utf8_lossy(&output.stderr).lines().any(|l| l.contains("ERROR:") || l.contains("FATAL:"));
    if output.status.success() && !refused {
        return Ok(());
    }
    Err(fail(output.status.to_string(), Some(output)))
}

/// Copies a directory and hands the copy to the servers' account. `keep` sees paths relative to `from`; a directory
/// that it refuses is left out whole. Files that vanish on the way are no error: a running server removes some.
pub(super) async fn copy_tree(
    from: &Path,
    to: &Path,
    root: &Arc<RootDir>,
    keep: impl Fn(&Path) -> bool + Send + 'static,
) -> Result<(), LabError> {
    let (from, to, root) = (from.to_path_buf(), to.to_path_buf(), Arc::clone(root));
    let target = to.clone();
    let copy = move || copy_dir(&from, Path::new(""), &to, &root, &keep);
    match tokio::task::spawn_blocking(copy).await {
        Ok(result) => result,
        Err(error) => Err(LabError::io("copy to", &target)(std::io::Error::other(error))),
    }
}

fn copy_dir(
    from: &Path,
    relative: &Path,
    to: &Path,
    root: &RootDir,
    keep: &impl Fn(&Path) -> bool,
) -> Result<(), LabError> {
    let gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    let (source, target) = (from.join(relative), to.join(relative));
    let entries = match std::fs::read_dir(&source) {
        Err(error) if gone(&error) => return Ok(()),
        entries => entries.map_err(LabError::io("read", &source))?,
    };
    std::fs::create_dir_all(&target).map_err(LabError::io("create", &target))?;
    let permissions = std::fs::metadata(&source).map_err(LabError::io("read", &source))?.permissions();
    std::fs::set_permissions(&target, permissions).map_err(LabError::io("change the mode of", &target))?;
    root.give(&target)?;
    for entry in entries.flatten() {
        let relative = relative.join(entry.file_name());
        if !keep(&relative) {
            continue;
        }
        let (source, target) = (from.join(&relative), to.join(&relative));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => copy_dir(from, &relative, to, root, keep)?,
            Ok(kind) if kind.is_file() => match std::fs::copy(&source, &target) {
                Err(error) if gone(&error) => {}
                Err(error) => return Err(LabError::io("copy", &source)(error)),
                Ok(_) => root.give(&target)?,
            },
            _ => {}
        }
    }
    Ok(())
}
