//! Where the servers' programs are.

use std::path::{Path, PathBuf};

use super::LabError;

const INSTALL_POSTGRESQL: &str = "scripts/bootstrap postgresql";
const INSTALL_PROMETHEUS: &str = "scripts/bootstrap prometheus";
const INSTALL_ALERTMANAGER: &str = "scripts/bootstrap alertmanager";
const INSTALL_ETCD: &str = "scripts/bootstrap etcd";
const INSTALL_PGBOUNCER: &str = "scripts/bootstrap pgbouncer";
const INSTALL_PATRONI: &str = "scripts/bootstrap patroni";
const INSTALL_HAPROXY: &str = "scripts/bootstrap haproxy";
const INSTALL_BROWSER: &str = "scripts/bootstrap browser";

/// The programs of one PostgreSQL version. Only `initdb` and `postgres` are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    dir: PathBuf,
    major: u32,
    version: String,
}

impl Binaries {
    /// Finds PostgreSQL: `LAB_PG_BIN`, then the newest `/usr/lib/postgresql/*/bin`, then `PATH`.
    pub fn find() -> Result<Self, LabError> {
        if let Some(dir) = std::env::var_os("LAB_PG_BIN") {
            return Self::in_dir(Path::new(&dir));
        }
        let mut installed: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
            .filter(|(_, bin)| has_server(bin))
            .collect();
        installed.sort();
        if let Some((_, bin)) = installed.pop() {
            return Self::in_dir(&bin);
        }
        let on_path = search_path().find(|dir| has_server(dir));
        match on_path {
            // Wrappers and links on PATH: the server finds its own share directory by its real place.
            Some(dir) => {
                let real = dir.join("postgres").canonicalize();
                Self::in_dir(real.ok().as_deref().and_then(Path::parent).unwrap_or(&dir))
            }
            None => Err(missing_server("LAB_PG_BIN, /usr/lib/postgresql/*/bin, PATH".to_owned())),
        }
    }

    /// Takes the programs of one directory.
    pub fn in_dir(dir: &Path) -> Result<Self, LabError> {
        if !has_server(dir) {
            return Err(missing_server(dir.display().to_string()));
        }
        let postgres = dir.join("postgres");
        let output =
            std::process::Command::new(&postgres).arg("--version").output().map_err(LabError::io("run", &postgres))?;
        let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let version = printed.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        let major = version.and_then(|v| v.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
        match (version, major) {
            (Some(version), Some(major)) => Ok(Self { dir: dir.to_path_buf(), major, version: version.to_owned() }),
            _ => Err(LabError::Command {
                program: format!("{} --version", postgres.display()),
                status: output.status.to_string(),
                output: format!("{printed}{}", String::from_utf8_lossy(&output.stderr).trim()),
            }),
        }
    }

    /// The directory that holds the programs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The major version, 13 to 18.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The version as the server prints it, such as `15.18`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The path of one program.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Finds Prometheus: `LAB_PROMETHEUS` (the program itself), then `PATH`.
pub fn prometheus() -> Result<PathBuf, LabError> {
    program("prometheus", &["prometheus"], INSTALL_PROMETHEUS, "LAB_PROMETHEUS")
}

/// Finds Alertmanager: `LAB_ALERTMANAGER` (the program itself), then `PATH`, under Debian's name and its own.
pub fn alertmanager() -> Result<PathBuf, LabError> {
    program("alertmanager", &["prometheus-alertmanager", "alertmanager"], INSTALL_ALERTMANAGER, "LAB_ALERTMANAGER")
}

/// Finds etcd: `LAB_ETCD` (the program itself), then `PATH`.
pub fn etcd() -> Result<PathBuf, LabError> {
    program("etcd", &["etcd"], INSTALL_ETCD, "LAB_ETCD")
}

/// Finds Patroni: `LAB_PATRONI` (the program itself), then `PATH`.
pub fn patroni() -> Result<PathBuf, LabError> {
    program("patroni", &["patroni"], INSTALL_PATRONI, "LAB_PATRONI")
}

/// Finds HAProxy: `LAB_HAPROXY` (the program itself), then `PATH`, then where Debian keeps it from all but root.
pub fn haproxy() -> Result<PathBuf, LabError> {
    program("haproxy", &["haproxy", "/usr/sbin/haproxy"], INSTALL_HAPROXY, "LAB_HAPROXY")
}

/// Finds PgBouncer: `LAB_PGBOUNCER` (the program itself), then `PATH` and Debian's place for it.
pub fn pgbouncer() -> Result<PathBuf, LabError> {
    let names = ["pgbouncer", "/usr/sbin/pgbouncer"];
    program("pgbouncer", &names, INSTALL_PGBOUNCER, "LAB_PGBOUNCER")
}

/// Finds Chromium: `LAB_CHROMIUM` (the program itself), then `PATH`.
pub fn chromium() -> Result<PathBuf, LabError> {
    program("Chromium", &["chromium"], INSTALL_BROWSER, "LAB_CHROMIUM")
}

/// Finds the WebDriver of Chromium: `LAB_CHROMEDRIVER` (the program itself), then `PATH`.
pub fn chromedriver() -> Result<PathBuf, LabError> {
    program("chromedriver", &["chromedriver"], INSTALL_BROWSER, "LAB_CHROMEDRIVER")
}

fn program(
    what: &'static str,
    names: &[&str],
    install: &'static str,
    variable: &'static str,
) -> Result<PathBuf, LabError> {
    let missing = |looked: String| LabError::Missing { what, looked, install, variable };
    if let Some(program) = std::env::var_os(variable) {
        let program = PathBuf::from(program);
        return if program.is_file() { Ok(program) } else { Err(missing(program.display().to_string())) };
    }
    search_path()
        .flat_map(|dir| names.iter().map(move |name| dir.join(name)))
        .find(|program| program.is_file())
        .ok_or_else(|| missing(format!("{variable}, PATH")))
}

fn missing_server(looked: String) -> LabError {
    LabError::Missing {
        what: "a PostgreSQL server (initdb and postgres)",
        looked,
        install: INSTALL_POSTGRESQL,
        variable: "LAB_PG_BIN",
    }
}

fn has_server(dir: &Path) -> bool {
    dir.join("postgres").is_file() && dir.join("initdb").is_file()
}

fn search_path() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter()
}
