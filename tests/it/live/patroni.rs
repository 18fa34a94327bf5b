//! Beside a real Patroni: what it is seen by, what it is asked, and what its answers mean.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pgvigil::config::{Login, Service};
use pgvigil::lab::{Lab, LabError, Role, ServerOptions, Spawn, Spawned, etcd, patroni, wait_until};
use pgvigil::pg::records::Records;
use pgvigil::runbook::journal::directory;
use pgvigil::runbook::manager::detect::{self, Detected, Kind};
use pgvigil::runbook::manager::patroni::client::{Change, Patroni, PatroniError};
use pgvigil::runbook::manager::patroni::{Answer, Outcome, View, answer};
use serde_json::json;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::client::{Answer as Answered, exchange, get, try_get};
use super::watch::Vigil;

/// Two servers are made and started meanwhile.
pub const SOON: Duration = Duration::from_secs(60);
const DEADLINE: Duration = Duration::from_secs(5);
pub const PASSWORD: &str = "Secret-patroni";
const TOKEN: &str = "ops-token-0123456789";

/// What the statement of detection finds there.
async fn detected(dsn: &str) -> Option<Detected> {
    let (client, connection) = tokio_postgres::connect(dsn, NoTls).await.expect(dsn);
    tokio::spawn(connection);
    let mut rows = Vec::new();
    for message in client.simple_query(detect::SQL).await.unwrap() {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push(vec![row.get("fact").map(str::to_owned), row.get("value").map(str::to_owned)]);
        }
    }
    detect::detect(&Records::new(["fact".to_owned(), "value".to_owned()].into(), rows)).unwrap()
}

/// One member: its Patroni, and where its server listens.
pub struct Member {
    pub process: Arc<Spawned>,
    pub api: u16,
    pub port: u16,
    /// Where its server keeps its data.
    pub data: PathBuf,
}

impl Member {
    pub fn start(lab: &Lab, name: &str, etcd: u16) -> Result<Self, LabError> {
        let (api, port) = (lab.free_port()?, lab.free_port()?);
        let home = lab.server_dir(&format!("{name}-home"))?;
        let data = home.join("data");
        let config = lab.path().join(format!("{name}.yml"));
        let text = json!({
            "scope": "lab",
            "name": name,
            "restapi": {
                "listen": format!("127.0.0.1:{api}"),
                "connect_address": format!("127.0.0.1:{api}"),
                "authentication": {"username": "ops", "password": PASSWORD},
            },
            "etcd3": {"host": format!("127.0.0.1:{etcd}")},
            "bootstrap": {
                "dcs": {
                    "ttl": 20, "loop_wait": 1, "retry_timeout": 3,
                    "postgresql": {"use_slots": true, "parameters": {"fsync": "off"}},
                },
                "initdb": [{"auth": "trust"}, {"encoding": "UTF8"}, "no-sync"],
            },
            "postgresql": {
                "listen": format!("127.0.0.1:{port}"),
                "connect_address": format!("127.0.0.1:{port}"),
                "data_dir": data,
                "bin_dir": lab.binaries().dir(),
                "pgpass": home.join("pgpass"),
                "authentication": {
                    "superuser": {"username": "postgres", "password": "x"},
                    "replication": {"username": "replicator", "password": "x"},
                },
                "parameters": {"unix_socket_directories": home},
                "pg_hba": ["local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"],
                "basebackup": [{"checkpoint": "fast"}, "no-sync"],
            },
        });
        // JSON is YAML.
        std::fs::write(&config, text.to_string()).unwrap();
        let spawn = Spawn::new(format!("patroni-{name}"), patroni()?).arg(config).cwd(home).as_server();
        Ok(Self { process: lab.spawn(spawn)?, api, port, data })
    }

    pub fn dsn(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.port)
    }
}

/// A client of these members, the first of which nobody listens at, with this password.
pub fn client(ports: &[u16], password: Option<PathBuf>) -> Patroni {
    let urls = ports.iter().map(|port| format!("http://127.0.0.1:{port}").parse().unwrap()).collect();
    let login = password.map(|password_file| Login { username: "ops".into(), password_file });
    Patroni::new(Service { urls, login, ca_file: None }, DEADLINE)
}

pub async fn until(
    client: &Patroni,
    what: &str,
    process: &Spawned,
    holds: impl Fn(&View) -> bool,
) -> Result<(), LabError> {
    wait_until(what, SOON, async || match client.cluster().await {
        Ok(view) if holds(&view) => Ok(()),
        seen => Err(format!("{seen:?}\n{}", process.log_tail(15))),
    })
    .await
}

pub fn is(view: &View, name: &str, role: &str) -> bool {
    let ready = |state: &str| matches!(state, "running" | "streaming");
    view.members.iter().any(|member| member.name == name && member.role == role && ready(&member.state))
}

/// An etcd, with the port that it answers on. It ends with what is returned.
pub fn start_etcd(lab: &Lab) -> Result<(Arc<Spawned>, u16), LabError> {
    let (store, peers) = (lab.free_port()?, lab.free_port()?);
    let (url, peer) = (format!("http://127.0.0.1:{store}"), format!("http://127.0.0.1:{peers}"));
    let spawn = Spawn::new("etcd", etcd()?)
        .arg(format!("--data-dir={}", lab.own_dir("etcd-data")?.display()))
        .arg(format!("--listen-client-urls={url}"))
        .arg(format!("--advertise-client-urls={url}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=default={peer}"));
    Ok((lab.spawn(spawn)?, store))
}

#[tokio::test]
async fn a_switchover_is_asked_for_once_and_what_came_of_it_is_seen() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let ((_etcd, store), nobody) = (start_etcd(&lab)?, lab.free_port()?);
    let password = lab.path().join("password");
    std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    let a = Member::start(&lab, "a", store)?;
    let ops = client(&[nobody, a.api], Some(password.clone()));
    until(&ops, "a to lead", &a.process, |view| is(view, "a", "leader")).await?;
    let b = Member::start(&lab, "b", store)?;
    until(&ops, "b to follow", &b.process, |view| is(view, "b", "replica")).await?;
    for member in [&a, &b] {
        let seen = detected(&member.dsn()).await.map(|seen| seen.kind);
        assert_eq!(seen, Some(Kind::Patroni));
    }
    let timing = ops.timing().await.unwrap();
    assert_eq!((timing.wait(), timing.patience()), (Duration::from_secs(22), Duration::from_secs(25)));
    let view = ops.cluster().await.unwrap();
    let found = view.member_of("node-1", Some(&format!("127.0.0.1:{}", b.port)));
    assert_eq!(found.map(|member| member.name.as_str()), Some("b"));

    // What it refuses, in its own words.
    let basic = {
        use base64::prelude::{BASE64_STANDARD, Engine};
        format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("ops:{PASSWORD}")))
    };
    let send = async |method: &str, port: u16, path: &str, body: serde_json::Value| {
        let body = body.to_string();
        let head = format!("{method} {path} HTTP/1.0\r\n{basic}Content-Length: {}\r\n\r\n{body}", body.len());
        let answer = exchange(port, head.as_bytes()).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        (answer.status, answer.text())
    };
    for (path, body, status, word) in [
        ("/switchover", json!({"leader": "b", "candidate": "a"}), 412, "leader name does not match"),
        ("/switchover", json!({"leader": "a", "candidate": "c"}), 412, "candidate does not exists"),
        ("/switchover", json!({"candidate": "b"}), 400, "Switchover could be performed only from a specific leader"),
        ("/failover", json!({}), 400, ""),
        ("/failover", json!({"leader": "a"}), 400, "Failover could be performed only to a specific candidate"),
    ] {
        let (code, text) = send("POST", a.api, path, body).await;
        assert!(code == status && text.contains(word), "{path}: {code} {text}");
        assert!(matches!(answer(code, &text), Answer::Refused(_)));
    }
    let switch = Change::Switchover { leader: "a", candidate: "b" };
    let ask = async |client: &Patroni, change| client.change(change, SOON).await;
    // Who has no password, or nobody to ask.
    match ask(&client(&[a.api], None), switch).await.unwrap() {
        Outcome::Refused(why) => assert!(why.contains("401"), "{why}"),
        other => panic!("{other:?}"),
    }
    let lost = ask(&client(&[nobody], Some(password.clone())), switch).await;
    assert!(matches!(lost, Err(PatroniError::Unreachable { .. })), "{lost:?}");
    let torn = ask(&client(&[a.api], Some(lab.path().join("none"))), switch).await;
    assert!(matches!(&torn, Err(PatroniError::File(why)) if why.contains("none does not exist")), "{torn:?}");
    // What we do not ask for.
    let refused = async |change, word: &str| match ask(&ops, change).await.unwrap() {
        Outcome::Refused(why) => assert!(why.contains(word), "{why}"),
        other => panic!("{other:?}"),
    };
    refused(Change::Failover { candidate: "b" }, "a leads and runs").await;
    refused(Change::Switchover { leader: "b", candidate: "a" }, "a leads by now").await;

    let outcome = ask(&ops, switch).await.unwrap();
    assert_eq!(outcome, Outcome::Done { timeline: 2 });
    until(&ops, "a to follow", &a.process, |view| is(view, "b", "leader") && is(view, "a", "replica")).await?;
    let history = ops.history().await.unwrap();
    assert_eq!(history.last().map(|turn| turn[0].clone()), Some(1.into()), "{history:?}");

    // Somebody works there.
    assert_eq!(send("PATCH", b.api, "/config", json!({"pause": true})).await.0, 200);
    until(&ops, "the pause", &b.process, |view| view.pause).await?;
    refused(Change::Switchover { leader: "b", candidate: "a" }, "Patroni is paused").await;
    assert_eq!(get(b.api, "/primary", "").await.status, 200, "b still leads");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_server_of_its_own_shows_no_trace_of_a_manager() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    assert_eq!(detected(&a.dsn(Role::Monitor)).await, None);
    a.sql("SELECT pg_create_physical_replication_slot('pgautofailover_standby_2')").await?;
    let seen = detected(&a.dsn(Role::Monitor)).await;
    let by = "the slot pgautofailover_standby_2".to_owned();
    assert_eq!(seen, Some(Detected { kind: Kind::PgAutoFailover, by }));
    lab.stop().await;
    Ok(())
}

const BOOK: &str = "---\nclass: failover\nplanned: true\nmode: manual\nlimits: {block_after_run: 0s}\nsteps:\n  - delegate: {timeout: 60s}\n  \
                    - verify: {one_writable: true, standbys_streaming_within: 60s}\n---\n# HandOver\nAsk Patroni.\n";

/// A pgvigil that watches both members, and may ask Patroni.
pub async fn start_vigil(lab: &Lab, members: [&Member; 2], password: &Path) -> Result<Vigil, LabError> {
    let (books, state, port) = (lab.own_dir("books")?, lab.own_dir("pgvigil-state")?, lab.free_port()?);
    std::fs::write(books.join("HandOver.md"), BOOK).unwrap();
    let ours = "fence: {argv: [/bin/true], probe: [/bin/true], undo: [/bin/true]}\n  - promote: {}";
    std::fs::write(books.join("TakeOver.md"), BOOK.replace("planned: true\n", "").replace("one_writable: true, ", ""))
        .unwrap();
    std::fs::write(books.join("ByOurselves.md"), BOOK.replace("delegate: {timeout: 60s}", ours)).unwrap();
    let token = lab.path().join("ops");
    std::fs::write(&token, TOKEN).unwrap();
    let urls: Vec<_> = members.iter().map(|member| format!("\"http://127.0.0.1:{}\"", member.api)).collect();
    let nodes = members.iter().zip(["a", "b"]).map(|(member, name)| {
        let (dsn, port) = (member.dsn(), member.port);
        format!("      - {{name: {name}, dsn: \"{dsn}\", admin_dsn: \"{dsn}\", address: \"127.0.0.1:{port}\"}}\n")
    });
    let text = format!(
        "listen: 127.0.0.1:{port}\nstate_dir: {}\nsample_interval: 200ms\ncollect_interval: 1s\nlogin_interval: 1s\n\
         access:\n  - {{name: ops, role: admin, token_file: {}}}\nrunbook_dirs: [{}]\nclusters:\n  - name: lab\n    \
         manager: {{patroni: {{urls: [{}], username: ops, password_file: {}}}}}\n    \
         runbooks: {{mode: manual, single_receiver: true}}\n    nodes:\n{}",
        state.display(),
        token.display(),
        books.display(),
        urls.join(", "),
        password.display(),
        nodes.collect::<String>(),
    );
    let config = lab.path().join("pgvigil.yml");
    std::fs::write(&config, text).unwrap();
    let vigil = Vigil::start_at(lab, config, port).await?;
    vigil.until_state("a", "up").await;
    vigil.until_state("b", "up").await;
    Ok(vigil)
}

/// What a person asks for.
pub async fn post(vigil: &Vigil, path: &str, body: serde_json::Value) -> Answered {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: lab\r\nContent-Type: application/json\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    exchange(vigil.port(), format!("{head}{body}").as_bytes()).await.expect("an answer")
}

/// Asks for a run of `book`, and waits until the newest run is `phase`.
pub async fn begin(vigil: &Vigil, book: &str, phase: &str) -> Result<serde_json::Value, LabError> {
    // A run of before may not have let go yet.
    wait_until("a run that is asked for", SOON, async || {
        let asked = post(vigil, "/api/v1/runs", json!({"cluster": "lab", "runbook": book})).await;
        if asked.status == 202 { Ok(()) } else { Err(asked.text()) }
    })
    .await?;
    until_run(vigil, book, phase).await
}

pub async fn until_run(vigil: &Vigil, book: &str, phase: &str) -> Result<serde_json::Value, LabError> {
    wait_until(format!("a run of {book} that is {phase}"), SOON, async || {
        let runs = try_get(vigil.port(), "/api/v1/runs").await?.json()["runs"].clone();
        match runs.get(0) {
            Some(run) if run["phase"] == phase && run["runbook"] == book => Ok(run.clone()),
            other => Err(format!("{other:?}\n{}", vigil.process().log_tail(8))),
        }
    })
    .await
}

pub async fn approve(vigil: &Vigil, run: &serde_json::Value) {
    let path = format!("/api/v1/runs/{}/approve", run["id"].as_str().unwrap());
    let answer = post(vigil, &path, json!({"plan": run["plan"]})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_run_hands_a_switchover_to_patroni_and_asks_once() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let (_etcd, store) = start_etcd(&lab)?;
    let password = lab.path().join("password");
    std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    let a = Member::start(&lab, "a", store)?;
    let ops = client(&[a.api], Some(password.clone()));
    until(&ops, "a to lead", &a.process, |view| is(view, "a", "leader")).await?;
    let b = Member::start(&lab, "b", store)?;
    until(&ops, "b to follow", &b.process, |view| is(view, "b", "replica")).await?;
    let mut vigil = start_vigil(&lab, [&a, &b], &password).await?;

    // What would promote by itself does nothing there.
    let run = begin(&vigil, "ByOurselves", "dry_run").await?;
    let said = run["report"].as_str().unwrap();
    assert!(said.contains("no_manager: Patroni is seen on a by a session of Patroni"), "{run:#}");

    let run = begin(&vigil, "HandOver", "awaiting").await?;
    assert_eq!((&run["primary"], &run["candidate"]), (&json!("a"), &json!("b")));
    approve(&vigil, &run).await;
    let run = until_run(&vigil, "HandOver", "succeeded").await?;
    assert_eq!(run["report"], "b is the primary: Patroni promoted it", "{run:#}");
    until(&ops, "a to follow", &a.process, |view| is(view, "b", "leader") && is(view, "a", "replica")).await?;
    let id = run["id"].as_str().unwrap();
    assert_eq!(post(&vigil, &format!("/api/v1/runs/{id}/ack"), json!({})).await.status, 200);

    // Killed as soon as it is on disk that Patroni is asked: what came of it is looked at, and it is not asked again.
    let run = begin(&vigil, "HandOver", "awaiting").await?;
    assert_eq!((&run["primary"], &run["candidate"]), (&json!("b"), &json!("a")));
    approve(&vigil, &run).await;
    let journal = directory(&lab.path().join("pgvigil-state"));
    let intended = || -> usize {
        let files = std::fs::read_dir(&journal).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()));
        files.map(|text| text.unwrap_or_default().matches("\"intended\":{\"step\":0").count()).sum()
    };
    wait_until("the intention", SOON, async || if intended() == 2 { Ok(()) } else { Err(intended().to_string()) })
        .await?;
    vigil.crash().await?;
    vigil.start_again(&lab).await?;
    let done = wait_until("an end", SOON, async || {
        let run = try_get(vigil.port(), &format!("/api/v1/runs/{}", run["id"].as_str().unwrap())).await?.json();
        let turns = ops.history().await.map_err(|error| error.to_string())?.len();
        match run["phase"].as_str() {
            Some("succeeded") => Ok(true),
            // The kill came before Patroni heard of it. Nobody knows that for sure, so the run waits for its time to be over.
            Some("probing") if turns == 1 => Ok(false),
            other => Err(format!("{other:?} {}", vigil.process().log_tail(8))),
        }
    })
    .await?;
    println!("Patroni had heard of it before the kill: {done}");
    assert_eq!(intended(), 2, "asked again");
    assert_eq!(ops.history().await.unwrap().len(), if done { 2 } else { 1 });
    lab.stop().await;
    Ok(())
}
