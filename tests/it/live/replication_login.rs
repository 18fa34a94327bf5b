//! The doctor logs in as a standby does: what it meets is found, mended by what is printed, and gone, and it leaves no trace.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, Spawn, StandbyOptions};
use serde_json::Value;

use super::tls::certificate;
use super::watch::{Node, SOON, Vigil};

type Outcome = Result<(), LabError>;

const CHECK: &str = "hba_replication";

/// A cluster whose doctor knows the standbys' password, and sees no `pg_hba_file_rules`.
struct Practice {
    lab: Lab,
    servers: [Server; 2],
}

impl Practice {
    fn password_file(&self) -> PathBuf {
        self.lab.path().join("replicator")
    }

    fn give(&self, password: &str) {
        std::fs::write(self.password_file(), password).unwrap();
        std::fs::set_permissions(self.password_file(), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    async fn run(&self, arguments: &[&str]) -> Result<String, LabError> {
        let config = self.lab.path().join("pgvigil.yml");
        let mut doctor = Spawn::new("doctor", env!("CARGO_BIN_EXE_pgvigil")).arg("doctor").arg("--config").arg(config);
        for argument in arguments {
            doctor = doctor.arg(argument);
        }
        let process = self.lab.spawn(doctor)?;
        process.wait(SOON).await?;
        let text = process.log();
        assert!(!text.contains(Role::Replicator.password()) && !text.contains("not the one"), "{text}");
        Ok(text)
    }

    /// What the check says of a node that is read: its answer, what was seen, and the fix.
    async fn of(&self, node: &str) -> Result<(String, String, Vec<Value>), LabError> {
        for _ in 0..6 {
            let said = self.said_of(node).await?;
            if !said.1.contains(" is not read: ") && !said.1.contains("came to nothing") {
                return Ok(said);
            }
        }
        self.said_of(node).await
    }

    async fn said_of(&self, node: &str) -> Result<(String, String, Vec<Value>), LabError> {
        let text = self.run(&["--json"]).await?;
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let checks = json[0]["checks"].as_array().unwrap();
        let line = checks.iter().find(|check| check["check"] == CHECK && check["node"] == node);
        let line = line.unwrap_or_else(|| panic!("{text}"));
        let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        Ok((word("answer"), word("seen"), line["fix"].as_array().cloned().unwrap_or_default()))
    }

    async fn answers(&self, node: &str, answer: &str) -> Outcome {
        let found = self.of(node).await?;
        assert_eq!(found.0, answer, "{found:?}");
        Ok(())
    }

    /// The check fails on `a` and says `seen`; what it prints is done, and all is well.
    async fn prove(&self, seen: &str) -> Outcome {
        let (answer, said, fix) = self.of("a").await?;
        assert!(answer == "failed" && said.contains(seen), "{answer}: {said}");
        let mut restarts = Vec::new();
        for cure in &fix {
            let server = self.servers.iter().find(|server| Some(server.name()) == cure["node"].as_str()).unwrap();
            match cure["sql"].as_str() {
                Some(statement) => server.sql(statement).await?,
                None if cure["restart"].is_string() => restarts.push(server),
                None => panic!("not mended by statements: {cure}"),
            }
        }
        for server in restarts {
            server.restart().await?;
        }
        self.answers("a", "ok").await
    }
}

#[tokio::test]
async fn what_a_standbys_login_meets_is_found_and_mended() -> Outcome {
    let lab = Lab::new()?;
    let (certificate, key) = certificate(&lab, "localhost").await?;
    let options = ServerOptions::default().set("log_connections", "on").set("ssl", "on");
    let options = options.set("ssl_cert_file", certificate.display()).set("ssl_key_file", key.display());
    let a = lab.primary("a", options).await?;
    let server = ServerOptions::default().set("log_connections", "on");
    let b = lab.standby_of(&a, "b", StandbyOptions { server, ..StandbyOptions::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    lab.own_dir("state")?;
    // The one by TLS, the other in plain text.
    let nodes = [("sslmode=require", &a), ("sslmode=disable", &b)]
        .map(|(mode, server)| Node::with(server.name(), &format!("{} {mode}", server.dsn(Role::Monitor)), ""));
    let practice = Practice { lab: lab.clone(), servers: [a.clone(), b.clone()] };
    let text = Vigil::config_text(&lab, 1, &nodes, "");
    let replication = format!(
        "  - name: lab\n    replication: {{user: replicator, password_file: {}}}\n",
        practice.password_file().display()
    );
    std::fs::write(lab.path().join("pgvigil.yml"), text.replace("  - name: lab\n", &replication)).unwrap();

    // All is well: here the standbys are where pgvigil is.
    practice.give(Role::Replicator.password());
    practice.answers("a", "ok").await?;
    practice.answers("b", "ok").await?;
    let log = a.log();
    let login =
        log.lines().find(|line| line.contains("replication connection authorized") && line.contains("=pgvigil"));
    assert!(login.is_some_and(|line| line.contains("SSL enabled")), "{log}");
    assert!(b.log().contains("replication connection authorized: user=replicator application_name=pgvigil"));
    // It never counts for a standby, and is gone.
    let text = practice.run(&[]).await?;
    assert!(!text.contains("no_standby") && !text.contains("application_name_unique"), "{text}");
    let left = "SELECT count(*) FROM pg_stat_replication WHERE application_name <> 'b'";
    assert_eq!(a.value(left).await?.as_deref(), Some("0"));
    let authenticated =
        log.lines().position(|line| line.contains("replication connection authorized") && line.contains("=pgvigil"));
    let pid = log.lines().nth(authenticated.unwrap()).and_then(|line| line.split(['[', ']']).nth(1)).unwrap();
    assert!(!log.lines().any(|line| line.contains(pid) && line.contains("Connection reset")), "{log}");

    // The password is none, and another than the servers'.
    practice.give("not the one");
    let (answer, seen, _) = practice.of("a").await?;
    assert!(answer == "failed" && seen.contains("is refused (SQLSTATE 28P01)"), "{answer}: {seen}");
    practice.give(Role::Replicator.password());

    // The role. What streams goes on meanwhile.
    a.sql("ALTER ROLE replicator NOREPLICATION").await?;
    practice.prove("has no REPLICATION (SQLSTATE 42501)").await?;
    a.sql("ALTER ROLE replicator NOLOGIN").await?;
    let (answer, seen, _) = practice.of("a").await?;
    assert!(answer == "failed" && seen.contains("may not log in (SQLSTATE 28000)"), "{answer}: {seen}");
    a.sql("ALTER ROLE replicator LOGIN").await?;

    // The walsenders.
    a.sql("ALTER SYSTEM SET max_wal_senders = 1").await?;
    a.restart().await?;
    a.wait_streaming("b", SOON).await?;
    practice.prove("there is no walsender left (SQLSTATE 53300)").await?;

    // pg_hba.conf, and the line that is printed.
    let hba = a.data_dir().join("pg_hba.conf");
    let whole = std::fs::read_to_string(&hba).unwrap();
    let without: String =
        whole.lines().filter(|line| !line.contains("replication")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&hba, &without).unwrap();
    a.reload().await?;
    let (answer, seen, fix) = practice.of("a").await?;
    assert!(answer == "failed" && seen.contains("(127.0.0.1), where b is"), "{answer}: {seen}");
    let line = fix[0]["line"]["line"].as_str().unwrap();
    std::fs::write(&hba, format!("{line}\n{without}")).unwrap();
    a.sql(fix[1]["sql"].as_str().unwrap()).await?;
    practice.answers("a", "ok").await?;

    // Standbys that are elsewhere are not proven from here.
    let config = lab.path().join("pgvigil.yml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("{name: b, ", "{name: b, address: \"10.0.0.2:5432\", ")).unwrap();
    let (answer, seen, _) = practice.of("a").await?;
    assert!(
        answer == "unknown" && seen.contains("from the host of pgvigil (127.0.0.1), which says nothing of b"),
        "{answer}: {seen}"
    );
    lab.stop().await;
    Ok(())
}
