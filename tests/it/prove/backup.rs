//! Real backups by pgBackRest and Barman, and what the doctor says of them: `make prove-backup`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, Spawn, wait_until};
use serde_json::Value;

use crate::live::watch::{Node, Vigil};

type Outcome = Result<(), LabError>;

const PGBACKREST: &str = "/usr/bin/pgbackrest";
const BARMAN: &str = "/usr/bin/barman";
const SOON: Duration = Duration::from_secs(90);

struct Practice {
    lab: Lab,
    server: Server,
}

impl Practice {
    /// What the doctor says of the backups that `backup` tells of.
    async fn doctor(&self, backup: &str) -> Result<(String, String), LabError> {
        let config = self.lab.path().join("pgvigil.yml");
        let text = Vigil::config_text(&self.lab, 1, &[Node::of(&self.server)], "");
        std::fs::write(&config, text.replace("  - name: lab\n", &format!("  - name: lab\n    backup: {{{backup}}}\n")))
            .unwrap();
        let doctor = Spawn::new("doctor", env!("CARGO_BIN_EXE_pgvigil")).arg("doctor").arg("--json");
        let process = self.lab.spawn(doctor.arg("--config").arg(config))?;
        process.wait(SOON).await?;
        let text = process.log();
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let all = json[0]["checks"].as_array().unwrap();
        let line = all.iter().find(|line| line["check"] == "backup_age").unwrap_or_else(|| panic!("{text}"));
        let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        Ok((word("answer"), word("seen")))
    }

    async fn says(&self, backup: &str, answer: &str, seen: &str) -> Outcome {
        let said = self.doctor(backup).await?;
        assert!(said.0 == answer && said.1.contains(seen), "{said:?}, expected {answer}: {seen}");
        Ok(())
    }

    /// What a program says; its log is the test's too.
    async fn run(&self, program: &str, arguments: &[String], as_server: bool) -> Result<(bool, String), LabError> {
        let mut spawn = Spawn::new("tool", program);
        if as_server {
            spawn = spawn.as_server();
        }
        for argument in arguments {
            spawn = spawn.arg(argument);
        }
        let process = self.lab.spawn(spawn.cwd("/"))?;
        let end = process.wait(SOON).await?;
        Ok((end.success(), process.log()))
    }

    async fn must(&self, program: &str, arguments: &[String], as_server: bool) -> Result<String, LabError> {
        let (is_good, said) = self.run(program, arguments, as_server).await?;
        assert!(is_good, "{program} {arguments:?}: {said}");
        Ok(said)
    }
}

fn words(base: &[String], more: &[&str]) -> Vec<String> {
    base.iter().cloned().chain(more.iter().map(|word| (*word).to_owned())).collect()
}

#[tokio::test]
async fn backups_of_a_real_server_are_judged() -> Outcome {
    let lab = Lab::new()?;
    lab.own_dir("state")?;
    let dir = |name: &str| lab.server_dir(name);
    let (repository, locks, incoming): (PathBuf, PathBuf, PathBuf) =
        (dir("repository")?, dir("locks")?, dir("incoming")?);
    let conf = lab.path().join("pgbackrest.conf");
    let push = format!(
        "{PGBACKREST} --config={} --stanza=lab archive-push %p && cp %p {}/%f",
        conf.display(),
        incoming.display()
    );
    let a = lab.primary("a", ServerOptions::default().set("archive_mode", "on").set("archive_command", push)).await?;
    let mut text = format!("[global]\nrepo1-path={}\nlock-path={}\n", repository.display(), locks.display());
    text += "log-level-file=off\nstart-fast=y\narchive-timeout=30\nrepo1-retention-full=2\n";
    let (data, sockets) = (a.data_dir().display().to_string(), a.socket_dir().display().to_string());
    let _ =
        writeln!(text, "[lab]\npg1-path={data}\npg1-port={}\npg1-socket-path={sockets}\npg1-user=postgres", a.port());
    std::fs::write(&conf, text).unwrap();
    let practice = Practice { lab: lab.clone(), server: a.clone() };

    // pgBackRest, from no stanza to a backup that is too old.
    let base =
        [format!("--config={}", conf.display()), "--stanza=lab".to_owned(), "--log-level-console=warn".to_owned()];
    let of = format!("pgbackrest: {{stanza: lab, argv: [{PGBACKREST}, --config={}]}}", conf.display());
    practice.says(&of, "unknown", "missing stanza path (code 1)").await?;
    practice.must(PGBACKREST, &words(&base, &["stanza-create"]), true).await?;
    practice.says(&of, "failed", "there is no backup of pgBackRest lab").await?;
    practice.must(PGBACKREST, &words(&base, &["backup"]), true).await?;
    practice.says(&of, "ok", "").await?;
    let old = async || match practice.doctor(&format!("{of}, max_age: 1m")).await? {
        (answer, seen) if answer == "failed" && seen.contains("h old; max_age is 0.0 h") => Ok(()),
        other => Err(format!("{other:?}")),
    };

    // Barman, with the same server's WAL.
    let (home, me) = (lab.own_dir("barman")?, whoami());
    let conf = lab.path().join("barman.conf");
    let dsn = format!("{} sslmode=disable", a.dsn(Role::Superuser));
    let bin = std::path::PathBuf::from(a.value("SELECT setting FROM pg_config WHERE name = 'BINDIR'").await?.unwrap());
    let text = format!(
        "[barman]\nbarman_user = {me}\nconfiguration_files_directory = {home}/conf.d\nbarman_home = {home}\nlog_file = {home}/log\n\
         [lab]\nconninfo = {dsn}\nstreaming_conninfo = {dsn}\nbackup_method = postgres\narchiver = on\npath_prefix = {bin}\n\
         incoming_wals_directory = {incoming}\n",
        home = home.display(),
        bin = bin.display(),
        incoming = incoming.display()
    );
    std::fs::write(&conf, &text).unwrap();
    let base = ["-c".to_owned(), conf.display().to_string()];
    let of = format!("barman: {{server: lab, argv: [{BARMAN}, -c, {}]}}", conf.display());
    practice.says(&of.replace("server: lab", "server: nobody"), "unknown", "Unknown server 'nobody'").await?;
    practice.says(&of, "failed", "there is no backup of Barman lab").await?;
    a.switch_wal().await?;
    wait_until("WAL in Barman's archive", SOON, async || {
        practice.run(BARMAN, &words(&base, &["cron"]), false).await.map_err(|error| error.to_string())?;
        match practice.run(BARMAN, &words(&base, &["check", "lab"]), false).await {
            Ok((true, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    practice.must(BARMAN, &words(&base, &["backup", "--wait", "lab"]), false).await?;
    practice.says(&of, "ok", "").await?;
    // One that fails: its program is none.
    let nothing = lab.own_dir("nothing")?;
    std::fs::write(
        &conf,
        text.replace(&format!("path_prefix = {}", bin.display()), &format!("path_prefix = {}", nothing.display())),
    )
    .unwrap();
    let failing = nothing.join("pg_basebackup");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--version*) exec {}/pg_basebackup --version;; esac\nexit 3\n",
        bin.display()
    );
    std::fs::write(&failing, script).unwrap();
    std::fs::set_permissions(&failing, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(&conf, std::fs::read_to_string(&conf).unwrap() + "basebackup_retry_times = 0\n").unwrap();
    assert!(!practice.run(BARMAN, &words(&base, &["backup", "lab"]), false).await?.0);
    practice.says(&of, "failed", "of Barman lab failed").await?;

    wait_until("a backup that is too old", SOON, async || old().await).await?;
    lab.stop().await;
    Ok(())
}

fn whoami() -> String {
    std::env::var("USER").unwrap_or_else(|_| "root".to_owned())
}
