//! A cluster that mistakes are made in, and the doctor that is asked of it; what it prints is done as it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pgvigil::lab::{Archive, Lab, LabError, Role, Server, ServerOptions, Spawn, StandbyOptions};
use serde_json::Value;

use super::watch::{Node, SOON, Vigil};

type Outcome = Result<(), LabError>;

/// The cluster of a test, and how the doctor is asked of it.
pub struct Practice {
    pub lab: Lab,
    servers: BTreeMap<String, Server>,
}

/// One failed finding.
#[derive(Debug)]
pub struct Ill {
    pub check: String,
    pub fix: Vec<Value>,
}

impl Practice {
    /// The config names these servers.
    pub fn new(lab: &Lab, servers: &[&Server]) -> Self {
        let servers: BTreeMap<_, _> =
            servers.iter().map(|server| (server.name().to_owned(), (*server).clone())).collect();
        let practice = Self { lab: lab.clone(), servers };
        lab.own_dir("state").unwrap();
        let nodes: Vec<_> = practice.servers.values().map(|server| Self::node(server, "")).collect();
        practice.configure(&nodes, "", "");
        practice
    }

    /// A node with all that the doctor may ask, and more keys (`, key: value`).
    pub fn node(server: &Server, more: &str) -> Node {
        let more = format!(", admin_dsn: \"{}\"{more}", server.dsn(Role::Superuser));
        Node::with(server.name(), &server.dsn(Role::Monitor), &more)
    }

    /// Another config: `more` are lines of its top level, `of_cluster` lines of the cluster.
    pub fn configure(&self, nodes: &[Node], more: &str, of_cluster: &str) {
        let text = Vigil::config_text(&self.lab, 1, nodes, more);
        let text = text.replace("  - name: lab\n", &format!("  - name: lab\n{of_cluster}"));
        std::fs::write(self.lab.path().join("pgvigil.yml"), text).unwrap();
    }

    /// What the doctor prints, and how it ends.
    pub async fn run(&self, arguments: &[&str]) -> Result<(String, Option<i32>), LabError> {
        let config = self.lab.path().join("pgvigil.yml");
        let mut command = Spawn::new("doctor", env!("CARGO_BIN_EXE_pgvigil")).arg("doctor").arg("--config").arg(config);
        for argument in arguments {
            command = command.arg(argument);
        }
        let process = self.lab.spawn(command)?;
        let code = process.wait(SOON).await?.code();
        Ok((process.log(), code))
    }

    /// What it found.
    pub async fn ills(&self, arguments: &[&str]) -> Result<Vec<Ill>, LabError> {
        Ok(found(&self.report(arguments).await?))
    }

    async fn report(&self, arguments: &[&str]) -> Result<Value, LabError> {
        let (text, _) = self.run(&[&["--json"], arguments].concat()).await?;
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        Ok(json[0].clone())
    }

    /// The doctor until it finds all of `expected`, or in the end what it lacks.
    pub async fn until_found(&self, expected: &[&str]) -> Result<Vec<Ill>, LabError> {
        self.until_found_by(&[], expected).await
    }

    /// The same, with these arguments.
    pub async fn until_found_by(&self, arguments: &[&str], expected: &[&str]) -> Result<Vec<Ill>, LabError> {
        for _ in 0..6 {
            let ills = self.ills(arguments).await?;
            if expected.iter().all(|name| ills.iter().any(|ill| ill.check == *name)) {
                return Ok(ills);
            }
        }
        let (text, _) = self.run(arguments).await?;
        panic!("not all of {expected:?} were found:\n{text}");
    }

    /// The doctor until it finds none of `names` any more.
    pub async fn until_gone(&self, names: &[&str]) -> Outcome {
        self.until_gone_by(&[], names).await
    }

    /// The same, with these arguments.
    pub async fn until_gone_by(&self, arguments: &[&str], names: &[&str]) -> Outcome {
        for _ in 0..8 {
            if gone(&self.report(arguments).await?, names) {
                return Ok(());
            }
        }
        let (text, _) = self.run(arguments).await?;
        panic!("not all of {names:?} are gone:\n{text}");
    }

    /// Does what the fixes say of the checks in `names`, as it is printed and in its order. What is there for several checks is
    /// done once.
    pub async fn mend(&self, ills: &[Ill], names: &[&str]) -> Outcome {
        let of_names = ills.iter().filter(|ill| names.contains(&ill.check.as_str()));
        let mut cures: Vec<_> = of_names.flat_map(|ill| ill.fix.iter().map(move |cure| (&ill.check, cure))).collect();
        // A restart at a good time: after all that is set.
        cures.sort_by_key(|(_, cure)| cure["restart"].is_string() && names.len() > 1);
        let mut restarted = BTreeSet::new();
        for (check, cure) in cures {
            let server = &self.servers[cure["node"].as_str().unwrap_or_else(|| panic!("{check}: {cure}"))];
            let database = cure["database"].as_str();
            if let (Some(statement), None) = (cure["sql"].as_str(), database) {
                server.sql(statement).await?;
            } else if let Some(statement) = cure["sql"].as_str() {
                self.psql(server, database, &format!("{statement};")).await?;
            } else if let Some(line) = cure["psql"].as_str() {
                self.psql(server, None, line).await?;
            } else if let Some(line) = cure["line"].as_object() {
                let file = Path::new(line["file"].as_str().unwrap());
                let text = std::fs::read_to_string(file).unwrap();
                std::fs::write(file, format!("{}\n{text}", line["line"].as_str().unwrap())).unwrap();
            } else if cure["restart"].is_string() {
                if names.len() == 1 || restarted.insert(server.name()) {
                    server.restart().await?;
                }
            } else {
                panic!("{check} is not mended by what can be done as it stands: {cure}");
            }
        }
        Ok(())
    }

    /// One line, by psql itself.
    async fn psql(&self, server: &Server, database: Option<&str>, line: &str) -> Outcome {
        let file = self.lab.path().join("line.sql");
        std::fs::write(&file, format!("{line}\n")).unwrap();
        let psql = Spawn::new("psql", "psql").arg("-X").arg("-v").arg("ON_ERROR_STOP=1").arg("-U").arg("postgres");
        let psql = psql.arg("-h").arg(server.socket_dir()).arg("-p").arg(server.port().to_string());
        let process = self.lab.spawn(psql.arg("-d").arg(database.unwrap_or("postgres")).arg("-f").arg(&file))?;
        assert_eq!(process.wait(SOON).await?.code(), Some(0), "{line}: {}", process.log());
        Ok(())
    }

    /// Makes sure that each of `names` is found, mended by what was printed, and gone.
    pub async fn prove(&self, names: &[&str]) -> Outcome {
        let ills = self.until_found(names).await?;
        self.mend(&ills, names).await?;
        self.until_gone(names).await
    }

    /// Makes sure that `name` is found, and that its fix has these words for the person who mends it; then [`Practice::until_gone`].
    pub async fn told(&self, name: &str, words: &str) -> Outcome {
        let ills = self.until_found(&[name]).await?;
        says(&ills, name, words);
        Ok(())
    }
}

/// What failed of the report on one cluster.
pub fn found(report: &Value) -> Vec<Ill> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["answer"] == "failed");
    let ill = |check: &Value| Ill { check: text(&check["check"]), fix: check["fix"].as_array().unwrap().clone() };
    checks.map(ill).collect()
}

/// Whether the report finds none of `names`. What is unknown is not gone, but on a node that does not answer.
pub fn gone(report: &Value, names: &[&str]) -> bool {
    report["checks"].as_array().unwrap().iter().all(|check| {
        let is_down = check["seen"].as_str().is_some_and(|seen| seen.contains(" is not read: "));
        let is_well = check["answer"] == "ok" || check["answer"] == "unknown" && is_down;
        is_well || !names.contains(&check["check"].as_str().unwrap())
    })
}

/// Makes sure that the fix of `name` has these words.
pub fn says(ills: &[Ill], name: &str, words: &str) {
    let said = |ill: &Ill| ill.fix.iter().any(|cure| cure.to_string().contains(words));
    assert!(ills.iter().any(|ill| ill.check == name && said(ill)), "{name} does not say {words}: {ills:#?}");
}

/// A server that lacks nothing.
pub fn well(archive: &Archive) -> ServerOptions {
    ServerOptions::default()
        .archive(archive)
        .set("fsync", "on")
        .set("wal_log_hints", "on")
        .set("archive_timeout", "60s")
        .set("max_slot_wal_keep_size", "1GB")
}

/// A primary and two standbys that stream.
pub async fn healthy(lab: &Lab) -> Result<(Server, Server, Server), LabError> {
    let dir = lab.server_dir("archive")?;
    let archive = Archive::Into(dir.clone());
    let a = lab.primary("a", well(&archive)).await?;
    let standby = |name: &str| StandbyOptions {
        slot: Some(name.to_owned()),
        restore_command: Some(Archive::restore_command(&dir)),
        server: well(&archive),
        ..StandbyOptions::default()
    };
    let b = lab.standby_of(&a, "b", standby("b")).await?;
    let c = lab.standby_of(&a, "c", standby("c")).await?;
    a.wait_streaming("b", SOON).await?;
    a.wait_streaming("c", SOON).await?;
    Ok((a, b, c))
}
