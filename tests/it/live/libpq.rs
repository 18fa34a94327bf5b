//! Every form in which libpq takes a server's name, tried with psql and with pgvigil against the same server: `tests/it/libpq/forms.yml`.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use futures_util::stream::{self, StreamExt};
use pgvigil::config::{self, Environment};
use pgvigil::lab::{Lab, LabError, Server, ServerOptions, Spawn};
use pgvigil::pg::session::Session;
use pgvigil::pg::trail::Trail;
use serde::Deserialize;
use tokio::process::Command;

use super::watch::SOON;
use crate::pki::Authority;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PASSWORD: &str = r"s3:c\r t";
/// Certificates of servers with keys of their own.
const OWN_KEYS: [&str; 4] = ["version-one-chain", "p521", "ed448", "rsa-pss"];
/// Roles that may log in over TCP, by pg_hba.conf below.
const ROLES: [&str; 7] = ["scram", "split", "clear", "tls_only", "plain_only", "trusted", "$ME"];
const HBA: &str = "
local   all scram scram-sha-256
local   all all trust
hostssl all tls_only 127.0.0.1/32 scram-sha-256
host    all tls_only all reject
hostnossl all plain_only 127.0.0.1/32 scram-sha-256
host    all plain_only all reject
hostssl all split 127.0.0.1/32 scram-sha-256
hostnossl all split 127.0.0.1/32 trust
hostssl all pgvigil 127.0.0.1/32 cert
host    all md5 127.0.0.1/32 md5
host    all clear 127.0.0.1/32 password
host    all trusted,$ME 127.0.0.1/32 trust
host    all all 127.0.0.1/32 scram-sha-256
host    all all ::1/128 scram-sha-256
";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    certificate: String,
    forms: Vec<Form>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    dsn: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    mode: Option<String>,
    psql: String,
    #[serde(default)]
    ours: Option<String>,
    #[serde(default)]
    deviates: Option<String>,
    #[serde(default)]
    rustls: bool,
}

impl Form {
    /// What pgvigil does otherwise on purpose, and why.
    fn deviation(&self) -> Option<(&str, &str)> {
        let is_gone = self.rustls && cfg!(feature = "tls-openssl");
        Some((self.ours.as_deref()?, self.deviates.as_deref().filter(|_| !is_gone)?))
    }
}

/// What the server saw, or what was said instead.
pub type Outcome = Result<String, String>;

pub struct Stage {
    pub lab: Lab,
    server: Server,
    tls: PathBuf,
    me: String,
    seen: BTreeSet<String>,
    /// What psql is started with besides a form's own.
    pub around_psql: BTreeMap<String, String>,
}

/// What came of the forms of a table.
#[derive(Default)]
pub struct Tried {
    pub forms: usize,
    pub deviations: usize,
    /// Each that is not as the table says.
    pub wrong: Vec<String>,
    /// Those that a build with rustls refuses: what the server shows, the connection string, and what came of it.
    pub of_rustls: Vec<(String, String, Outcome)>,
}

impl Stage {
    pub async fn new() -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let me = whoami::username().unwrap();
        let (tls, hba) = (lab.server_dir("tls")?, lab.path().join("hba.conf"));
        open_to_all(&hba, &HBA.replace("$ME", &me));
        let options = ServerOptions::default().set("hba_file", hba.display()).set("listen_addresses", "127.0.0.1,::1");
        let options = options.set("ssl_ca_file", tls.join("clients-ca.crt").display());
        let server = lab.primary("a", options).await?;
        for role in ROLES.map(|role| role.replace("$ME", &me)) {
            server.sql(&format!("CREATE ROLE \"{role}\" LOGIN PASSWORD '{PASSWORD}'")).await?;
        }
        server.sql(&format!("SET password_encryption = md5; CREATE ROLE md5 LOGIN PASSWORD '{PASSWORD}'")).await?;
        server.sql(&format!("CREATE ROLE many LOGIN PASSWORD '{}'", secret_of_many_iterations())).await?;
        let stage = Self { lab, server, tls, me, seen: BTreeSet::new(), around_psql: BTreeMap::new() };
        stage.make_certificates().await?;
        Ok(stage)
    }

    async fn make_certificates(&self) -> Result<(), LabError> {
        for entry in std::fs::read_dir(Path::new(ROOT).join("tests/fixtures/tls")).unwrap().flatten() {
            open_to_all(&self.tls.join(entry.file_name()), &std::fs::read_to_string(entry.path()).unwrap());
        }
        let (authority, key) = (Authority::new(), self.fixture("server.key"));
        let wild = authority.issue(&["*.example"]);
        for (name, text) in [("wildcard-ca.crt", &authority.pem()), ("wildcard.crt", &wild.cert), ("open.key", &key)] {
            open_to_all(&self.tls.join(name), text);
        }
        open_to_all(&self.tls.join("clients-ca.crt"), &(self.fixture("ca.crt") + &self.fixture("openssl-ca.crt")));
        private(&self.tls.join("client.key"), &key);
        private(&self.tls.join("client-p521.key"), &self.fixture("client-p521.key"));
        // A server takes no key that is not its own.
        let own = OWN_KEYS.iter().map(|name| (*name, self.fixture(&format!("{name}.key"))));
        for (name, text) in own.chain([("server", key.clone()), ("wildcard", wild.key.clone())]) {
            let name = format!("{name}-own.key");
            let (ours, path) = (self.lab.path().join(&name), self.tls.join(&name));
            open_to_all(&ours, &text);
            let install = Spawn::new("install", "install").as_server().arg("-m").arg("600").arg(&ours).arg(path);
            assert_eq!(self.lab.spawn(install.cwd(&self.tls))?.wait(SOON).await?.code(), Some(0));
        }
        Ok(())
    }

    fn fixture(&self, name: &str) -> String {
        std::fs::read_to_string(Path::new(ROOT).join("tests/fixtures/tls").join(name)).unwrap()
    }

    async fn show(&self, certificate: &str) -> Result<(), LabError> {
        let stem = certificate.trim_end_matches(".crt");
        let key = if stem == "wildcard" || OWN_KEYS.contains(&stem) { stem } else { "server" };
        let path = |name: &str| self.tls.join(name).display().to_string();
        match certificate {
            "off" => self.server.alter(&[("ssl", "off")]).await,
            name => {
                let files =
                    [("ssl", "on"), ("ssl_cert_file", &path(name)), ("ssl_key_file", &path(&format!("{key}-own.key")))];
                self.server.alter(&files).await
            }
        }
    }

    /// `text` with what its variables stand for.
    fn filled(&self, text: &str, home: &Path) -> String {
        let text = text.replace("$PORT", &self.server.port().to_string()).replace("$ME", &self.me);
        let text = text.replace("$SOCKETS", &self.server.socket_dir().display().to_string());
        let text = text.replace("$TLS", &self.tls.display().to_string()).replace("$HOME", &home.display().to_string());
        match text.as_str() {
            "$CA" => self.fixture("ca.crt"),
            "$OTHER_CA" => self.fixture("other-ca.crt"),
            "$CLIENT" => self.fixture("client.crt"),
            "$KEY" => self.fixture("server.key"),
            _ => text,
        }
    }

    /// The form's HOME with its files, its environment, and its connection string.
    fn lay_out(&self, form: &Form, number: &mut usize) -> (PathBuf, BTreeMap<String, String>, String) {
        *number += 1;
        let home = self.lab.path().join(format!("home-{number}"));
        std::fs::create_dir_all(home.join(".postgresql")).unwrap();
        let mode = u32::from_str_radix(form.mode.as_deref().unwrap_or("600"), 8).unwrap();
        for (name, text) in &form.files {
            std::fs::write(home.join(name), self.filled(text, &home)).unwrap();
            std::fs::set_permissions(home.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let filled = |(name, value): (&String, &String)| (name.clone(), self.filled(value, &home));
        let mut env: BTreeMap<String, String> = form.env.iter().map(filled).collect();
        env.insert("HOME".to_owned(), home.display().to_string());
        let dsn = self.filled(&form.dsn, &home);
        (home, env, dsn)
    }

    /// What psql makes of it.
    async fn psql(&self, dsn: &str, env: &BTreeMap<String, String>) -> Outcome {
        let mut psql = Command::new(self.lab.binaries().dir().join("psql"));
        psql.env_clear()
            .env("LC_ALL", "C")
            .envs(&self.around_psql)
            .envs(env)
            .current_dir(self.lab.path())
            .kill_on_drop(true);
        psql.args(["-X", "-w", "-q", "-A", "-t", "-F", " "]);
        if !dsn.is_empty() {
            psql.args(["-d", dsn]);
        }
        let seen = format!("SELECT {SEEN} WHERE pid = pg_backend_pid()");
        let output = tokio::time::timeout(SOON, psql.args(["-c", &seen]).output()).await.unwrap().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(own_name(&text(&output.stdout), "psql")) } else { Err(text(&output.stderr)) }
    }

    /// What pgvigil makes of it: by its config, its check and its session.
    async fn ours(&mut self, dsn: &str, env: &BTreeMap<String, String>, home: &Path) -> Result<Outcome, LabError> {
        let path = home.join("pgvigil.yml");
        let dsn = dsn.replace('\'', "''");
        std::fs::write(&path, format!("clusters: [{{name: c, nodes: [{{name: n, dsn: '{dsn}'}}]}}]\n")).unwrap();
        let (env, trail): (Environment, _) = (env.iter().map(owned).collect(), Trail::default());
        let report = match config::check(Some(&path), &env) {
            Ok(report) => report,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let target = config::target(&report.settings.clusters[0].nodes[0], &env, &trail).unwrap();
        let connector = target.connector(&trail).unwrap();
        let session = match Session::connect(&target, &connector, SOON, SOON).await {
            Ok(session) => session,
            Err(failure) => return Ok(Err(failure.to_string())),
        };
        let sessions = format!("SELECT pid::text, {SEEN} WHERE application_name = 'pgvigil'");
        let mut new = Vec::new();
        for row in self.server.query(&sessions).await? {
            let [Some(pid), Some(seen)] = &row[..] else { panic!("{row:?}") };
            if self.seen.insert(pid.clone()) {
                new.push(own_name(seen, "pgvigil"));
            }
        }
        drop(session);
        assert_eq!(new.len(), 1, "{new:?}");
        Ok(Ok(new.remove(0)))
    }

    /// Tries each form of a table with both.
    pub async fn try_all(&mut self, table: &str) -> Result<Tried, LabError> {
        let table = std::fs::read_to_string(Path::new(ROOT).join("tests/it/libpq").join(table)).unwrap();
        let groups: Vec<Group> = serde_saphyr::from_str(&table).unwrap();
        let document = std::fs::read_to_string(Path::new(ROOT).join("docs/libpq.md")).unwrap();
        let mut tried = Tried::default();
        for group in &groups {
            self.show(&group.certificate).await?;
            let ready: Vec<_> = group.forms.iter().map(|form| self.lay_out(form, &mut tried.forms)).collect();
            let asked = ready.iter().map(|(_, env, dsn)| self.psql(dsn, env));
            let said: Vec<Outcome> = stream::iter(asked).buffered(4).collect().await;
            for ((form, (home, env, dsn)), psql) in group.forms.iter().zip(&ready).zip(said) {
                let expected = self.filled(&form.psql, home);
                let ours = self.ours(dsn, env, home).await?;
                let deviation = form.deviation();
                let wanted = match (deviation, &form.ours) {
                    (Some((ours, _)), _) => ours.to_owned(),
                    (None, Some(said)) if !form.rustls => format!("refused: {said}"),
                    (None, _) if expected.starts_with("refused: ") => {
                        "refused: no TLS session could be made".to_owned()
                    }
                    (None, _) => expected.clone(),
                };
                let same = match (&psql, &ours) {
                    (Ok(psql), Ok(ours)) => psql == ours,
                    (psql, ours) => psql.is_err() && ours.is_err(),
                };
                let documented = form.deviates.as_ref().is_none_or(|why| document.contains(why.as_str()));
                tried.deviations += usize::from(deviation.is_some());
                if differs(&psql, &expected)
                    || differs(&ours, &wanted)
                    || same == deviation.is_some()
                    || leaks(&ours)
                    || !documented
                {
                    tried.wrong.push(format!(
                        "{}: {dsn} {:?}\n  psql: {psql:?}\n  ours: {ours:?}\n  wanted: {expected} | {wanted}, documented: {documented}",
                        group.certificate, form.env
                    ));
                }
                if form.rustls {
                    tried.of_rustls.push((group.certificate.clone(), form.dsn.clone(), ours));
                }
            }
        }
        Ok(tried)
    }
}

fn leaks(outcome: &Outcome) -> bool {
    outcome.as_ref().is_err_and(|said| said.contains("s3:c") || said.contains("cret"))
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

/// What a server sees of its clients.
const SEEN: &str = "concat_ws(' ', usename, datname, coalesce(host(client_addr), 'socket'), coalesce(version, '-'), application_name) \
                    FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)";

/// Without the application where it is the program's own name.
fn own_name(seen: &str, program: &str) -> String {
    seen.strip_suffix(program).unwrap_or(seen).trim_end().to_owned()
}

fn open_to_all(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// What a server keeps of the password where `scram_iterations` is high.
fn secret_of_many_iterations() -> String {
    let (salt, rounds) = (b"0123456789abcdef", NonZeroU32::new(100_001).unwrap());
    let mut salted = [0; 32];
    ring::pbkdf2::derive(ring::pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, PASSWORD.as_bytes(), &mut salted);
    let hmac = |text: &[u8]| ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &salted), text);
    let stored = ring::digest::digest(&ring::digest::SHA256, hmac(b"Client Key").as_ref());
    let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    let (stored, server) = (encode(stored.as_ref()), encode(hmac(b"Server Key").as_ref()));
    format!("SCRAM-SHA-256${rounds}:{}${stored}:{server}", encode(salt))
}

/// What is wrong with an outcome, if `expected` is what the server was to see, or `refused: ` and a part of what is said.
fn differs(outcome: &Outcome, expected: &str) -> bool {
    match (outcome, expected.strip_prefix("refused: ")) {
        (Ok(seen), None) => seen != expected,
        (Err(said), Some(part)) => !said.contains(part),
        _ => true,
    }
}

#[tokio::test]
async fn every_form_means_what_it_means_to_psql() -> Result<(), LabError> {
    let mut stage = Stage::new().await?;
    let tried = stage.try_all("forms.yml").await?;
    let (number, deviations) = (tried.forms, tried.deviations);
    println!("{number} forms, of which {deviations} on purpose otherwise");
    assert!(tried.wrong.is_empty(), "{} of {number}:\n{}", tried.wrong.len(), tried.wrong.join("\n"));
    assert!(number >= 80 && number - deviations >= 80 && tried.of_rustls.len() >= 8, "{number} forms");
    stage.lab.stop().await;
    Ok(())
}

/// A server that accepts the connection and says nothing costs no more than `connect_timeout`.
#[tokio::test]
async fn connect_timeout_counts_for_the_whole_login() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let dsn = format!("host=127.0.0.1 port={port} user=m connect_timeout=1");
    let env = |_: &str| None;
    let target = pgvigil::pg::dsn::Target::parse(&dsn, &env, &Trail::default()).unwrap();
    let connector = target.connector(&Trail::default()).unwrap();
    let started = std::time::Instant::now();
    let failure = Session::connect(&target, &connector, 3 * SOON, SOON).await.err().unwrap();
    assert_eq!(failure.state.as_str(), "timeout", "{failure}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
