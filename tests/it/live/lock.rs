//! The lock in a real etcd: who gets it, who loses it and learns of it, and what is known when etcd is not there.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use pgvigil::lab::{Lab, LabError, Spawn, Spawned, Wire, WireMode, etcd, wait_until};
use pgvigil::runbook::lock::{Acquired, Decided, Etcd, EtcdSettings, Held, Holder, Lock, LockError};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::client::{exchange, try_get};
use crate::pki::Authority;

type Outcome = Result<(), LabError>;

const SYSTEM: u64 = 7_123_456_789_012_345_678;
const TTL: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_secs(20);
/// What a busy machine adds to a deadline.
const BUSY: Duration = Duration::from_secs(2);

/// Starts a member of an etcd.
fn member(lab: &Lab, name: &str, port: u16, peers: u16, all: &str, more: &[String]) -> Result<Arc<Spawned>, LabError> {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peers}"));
    let args = [
        format!("--name={name}"),
        format!("--data-dir={}", lab.own_dir(&format!("{name}-data"))?.display()),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster={all}"),
        // Its least lease is 1.5 times as long.
        "--heartbeat-interval=50".to_owned(),
        "--election-timeout=500".to_owned(),
    ];
    let listens = format!("--listen-client-urls={client}");
    let spawn = args.iter().chain(more).fold(Spawn::new(name, etcd()?), |spawn, arg| spawn.arg(arg));
    lab.spawn(if more.iter().any(|arg| arg.starts_with("--listen-client")) { spawn } else { spawn.arg(listens) })
}

async fn answers(port: u16, process: &Spawned) -> Outcome {
    wait_until("etcd to answer", SOON, async || match try_get(port, "/health").await {
        Ok(answer) if answer.status == 200 => Ok(()),
        answer => Err(format!("{answer:?}\n{}", process.log_tail(5))),
    })
    .await
}

/// An etcd of one member.
struct Store {
    lab: Lab,
    process: Arc<Spawned>,
    port: u16,
    peers: u16,
    more: Vec<String>,
}

impl Store {
    async fn start(more: &[&str]) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let (port, peers) = (lab.free_port()?, lab.free_port()?);
        let more: Vec<String> = more.iter().map(|arg| (*arg).to_owned()).collect();
        let process = Self::spawn(&lab, port, peers, &more)?;
        let store = Self { lab, process, port, peers, more };
        answers(store.port, &store.process).await?;
        Ok(store)
    }

    fn spawn(lab: &Lab, port: u16, peers: u16, more: &[String]) -> Result<Arc<Spawned>, LabError> {
        member(lab, "etcd", port, peers, &format!("etcd=http://127.0.0.1:{peers}"), more)
    }

    async fn restart(&mut self) -> Outcome {
        self.process = Self::spawn(&self.lab, self.port, self.peers, &self.more)?;
        answers(self.port, &self.process).await
    }

    async fn post(&self, path: &str, question: &Value) -> Value {
        self.post_as("", path, question).await
    }

    /// With a line of the head that says who asks.
    async fn post_as(&self, login: &str, path: &str, question: &Value) -> Value {
        let question = question.to_string();
        let head = format!("POST {path} HTTP/1.0\r\nHost: lab\r\nContent-Type: application/json");
        let request = format!("{head}\r\n{login}Content-Length: {}\r\n\r\n{question}", question.len());
        let answer = exchange(self.port, request.as_bytes()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// What a key holds and the lease that it is bound to.
    async fn key(&self, key: &str) -> Option<(Value, Option<String>)> {
        let answer = self.post("/v3/kv/range", &json!({"key": BASE64.encode(key)})).await;
        let kv = answer["kvs"].get(0)?;
        let value = BASE64.decode(kv["value"].as_str()?).unwrap();
        Some((serde_json::from_slice(&value).unwrap(), kv["lease"].as_str().map(str::to_owned)))
    }

    fn lock(&self) -> Lock {
        lock_at(&[self.port])
    }
}

fn lock_at(ports: &[u16]) -> Lock {
    Lock::Etcd(Etcd::new(&settings(ports)))
}

fn settings(ports: &[u16]) -> EtcdSettings {
    let endpoints = ports.iter().map(|port| Url::parse(&format!("http://127.0.0.1:{port}")).unwrap()).collect();
    EtcdSettings { ttl: TTL, ..EtcdSettings::of(endpoints) }
}

fn holder(run: &str, instance: &str) -> Holder {
    Holder { run: run.to_owned(), instance: instance.to_owned() }
}

async fn held(lock: &Lock, run: &str) -> Held {
    match lock.acquire(SYSTEM, &holder(run, "vigil-a")).await.unwrap() {
        Acquired::Held(held) => held,
        Acquired::Elsewhere(other) => panic!("{other:?} holds it"),
    }
}

async fn elsewhere(lock: &Lock, run: &str, instance: &str) -> Holder {
    match lock.acquire(SYSTEM, &holder(run, instance)).await.unwrap() {
        Acquired::Held(held) => panic!("{run} of {instance} has it: {held:?}"),
        Acquired::Elsewhere(other) => other,
    }
}

/// Waits until this run has the lock, which somebody else had.
async fn until_held(lock: &Lock, run: &str) -> Result<Held, LabError> {
    wait_until("the lock to be free", SOON, async || match lock.acquire(SYSTEM, &holder(run, "vigil-b")).await {
        Ok(Acquired::Held(held)) => Ok(held),
        seen => Err(format!("{seen:?}")),
    })
    .await
}

async fn until_checked(held: &Held) -> Outcome {
    wait_until("the lock to be ours", SOON, async || held.check().await.map_err(|error| error.to_string())).await
}

async fn until_lost(held: &Held) -> Outcome {
    wait_until("the lock to be lost", SOON, async || match held.check().await {
        Err(LockError::Lost { .. }) => Ok(()),
        seen => Err(format!("{seen:?}")),
    })
    .await
}

#[tokio::test]
async fn one_of_many_gets_it_and_the_next_only_when_it_was_released_or_its_time_is_over() -> Outcome {
    let store = Store::start(&[]).await?;
    let locks: Vec<Lock> = (0..8).map(|_| store.lock()).collect();
    let runs: Vec<String> = (0..8).map(|number| format!("run-{number}")).collect();
    let asked =
        locks.iter().zip(&runs).map(|(lock, run)| async move { lock.acquire(SYSTEM, &holder(run, "vigil-a")).await });
    let (mut winners, mut losers) = (Vec::new(), Vec::new());
    for (answer, run) in futures_util::future::join_all(asked).await.into_iter().zip(&runs) {
        match answer.unwrap() {
            Acquired::Held(held) => winners.push((held, run)),
            Acquired::Elsewhere(other) => losers.push(other),
        }
    }
    assert_eq!((winners.len(), losers.len()), (1, 7));
    let (first, run) = winners.pop().unwrap();
    assert!(losers.iter().all(|other| *other == holder(run, "vigil-a")), "{losers:?}");
    // Another cluster has a lock of its own.
    let other = locks[0].acquire(SYSTEM + 1, &holder("run-x", "vigil-b")).await.unwrap();
    assert!(matches!(other, Acquired::Held(_)), "{other:?}");

    // It outlives its time, by its renewals.
    let started = Instant::now();
    while started.elapsed() < TTL + TTL / 3 {
        first.check().await.unwrap();
        assert_eq!(elsewhere(&locks[1], "run-9", "vigil-b").await.run, *run);
        tokio::time::sleep(TTL / 15).await;
    }
    let token = first.token();
    first.release().await.unwrap();
    assert_eq!(store.key(&format!("/pgvigil/{SYSTEM}/holder")).await, None);
    let second = held(&locks[2], "run-2").await;
    assert!(second.token() > token);

    // Without a release its time has to pass, of which a renewal has been at most a third ago.
    let (token, dropped) = (second.token(), Instant::now());
    drop(second);
    let third = until_held(&locks[3], "run-3").await?;
    let (took, least) = (dropped.elapsed(), TTL * 3 / 5);
    assert!(took >= least, "after {took:?}");
    assert!(third.token() > token);
    third.check().await.unwrap();
    Ok(())
}

#[tokio::test]
async fn a_holder_that_was_suspended_does_nothing_in_the_last_third_and_learns_that_it_lost() -> Outcome {
    let store = Store::start(&[]).await?;
    let wire = Wire::to(store.port).await?;
    let first = held(&lock_at(&[wire.port()]), "run-1").await;
    until_checked(&first).await?;
    // The test's one thread is the holder's: it renews nothing meanwhile. etcd would still call the lock ours.
    std::thread::sleep(TTL * 3 / 4);
    let late = first.check().await.unwrap_err();
    assert!(matches!(late, LockError::Late { .. }), "{late}");
    assert_eq!(elsewhere(&store.lock(), "run-2", "vigil-b").await.run, "run-1");
    until_checked(&first).await?;

    wire.set(WireMode::BlackHole).await?;
    let second = until_held(&store.lock(), "run-2").await?;
    assert!(second.token() > first.token());
    let late = first.check().await.unwrap_err();
    assert!(matches!(late, LockError::Late { .. }), "{late}");
    wire.set(WireMode::Pass).await?;
    until_lost(&first).await?;
    let lost = first.decide("episode", &json!({"candidate": "b"})).await.unwrap_err();
    assert_eq!(lost.to_string(), format!("the lock /pgvigil/{SYSTEM}/holder is lost: run run-2 of vigil-b holds it"));
    assert_eq!(store.key(&format!("/pgvigil/{SYSTEM}/decision/episode")).await, None);
    // What it lets go is not what it lost.
    first.release().await.unwrap();
    second.check().await.unwrap();
    Ok(())
}

#[tokio::test]
async fn a_key_that_was_removed_and_made_again_is_not_ours() -> Outcome {
    let store = Store::start(&[]).await?;
    let first = held(&store.lock(), "run-1").await;
    let key = BASE64.encode(format!("/pgvigil/{SYSTEM}/holder"));
    store.post("/v3/kv/deleterange", &json!({"key": key})).await;
    let lost = first.check().await.unwrap_err();
    assert!(matches!(lost, LockError::Lost { to: None, .. }), "{lost}");
    let second = until_held(&store.lock(), "run-2").await?;
    let lost = first.check().await.unwrap_err();
    assert!(matches!(lost, LockError::Lost { .. }), "{lost}");
    second.check().await.unwrap();
    // What a person writes there keeps everybody out, and who is in.
    store.post("/v3/kv/put", &json!({"key": key, "value": BASE64.encode("hands off")})).await;
    let lost = second.check().await.unwrap_err();
    assert!(matches!(lost, LockError::Lost { to: None, .. }), "{lost}");
    second.release().await.unwrap();
    let foreign = store.lock().acquire(SYSTEM, &holder("run-3", "vigil-a")).await.unwrap_err();
    assert!(matches!(foreign, LockError::Foreign { .. }), "{foreign}");
    Ok(())
}

#[tokio::test]
async fn a_decision_stays_whoever_holds_the_lock() -> Outcome {
    let store = Store::start(&[]).await?;
    let (b, c) = (json!({"candidate": "b", "lsn": "0/3000060"}), json!({"candidate": "c"}));
    let first = held(&store.lock(), "run-1").await;
    assert_eq!(first.decide("3-a", &b).await.unwrap(), Decided::Ours);
    assert_eq!(first.decide("3-a", &b).await.unwrap(), Decided::Ours);
    assert_eq!(first.decide("3-a", &c).await.unwrap(), Decided::Found(b.clone()));
    let long = first.decide("3-a", &json!("x".repeat(1 << 20))).await.unwrap_err();
    assert!(matches!(long, LockError::TooLong { .. }), "{long}");
    first.release().await.unwrap();
    let key = format!("/pgvigil/{SYSTEM}/decision/3-a");
    let (written, lease) = store.key(&key).await.unwrap();
    assert_eq!((&written["decision"], &written["run"], lease), (&b, &json!("run-1"), None));

    let second = held(&store.lock(), "run-2").await;
    assert_eq!(second.decide("3-a", &c).await.unwrap(), Decided::Found(b.clone()));
    // Of one mind, and still not ours.
    assert_eq!(second.decide("3-a", &b).await.unwrap(), Decided::Found(b));
    assert_eq!(second.decide("4-b", &c).await.unwrap(), Decided::Ours);
    Ok(())
}

#[tokio::test]
async fn after_a_restart_the_same_run_has_it_back_at_once() -> Outcome {
    let store = Store::start(&[]).await?;
    let before = held(&store.lock(), "run-1").await;
    assert_eq!(elsewhere(&store.lock(), "run-2", "vigil-a").await, holder("run-1", "vigil-a"));
    assert_eq!(elsewhere(&store.lock(), "run-1", "vigil-b").await, holder("run-1", "vigil-a"));
    let (_, lease) = store.key(&format!("/pgvigil/{SYSTEM}/holder")).await.unwrap();
    assert_eq!(before.decide("3-a", &json!("b")).await.unwrap(), Decided::Ours);

    let after = held(&store.lock(), "run-1").await;
    // Nobody held it in between.
    assert_eq!(after.token(), before.token());
    after.check().await.unwrap();
    assert_ne!(store.key(&format!("/pgvigil/{SYSTEM}/holder")).await.unwrap().1, lease);
    assert_eq!(after.decide("3-a", &json!("b")).await.unwrap(), Decided::Ours);
    // Should the process before still live, it may do nothing; nor does its end take the lock with it.
    let lost = before.check().await.unwrap_err();
    assert!(matches!(lost, LockError::Lost { .. }), "{lost}");
    before.release().await.unwrap();
    after.check().await.unwrap();

    let dropped = after.token();
    drop(after);
    let other = until_held(&store.lock(), "run-2").await?;
    assert!(other.token() > dropped);
    Ok(())
}

#[tokio::test]
async fn without_etcd_nothing_is_held_and_nobody_waits_for_it() -> Outcome {
    let mut store = Store::start(&[]).await?;
    let lock = store.lock();
    let first = held(&lock, "run-1").await;
    let refused = async |lock: &Lock, held: &Held| {
        let started = Instant::now();
        let error = lock.acquire(SYSTEM, &holder("run-1", "vigil-a")).await.unwrap_err();
        assert!(matches!(error, LockError::NoAnswer { .. }), "{error}");
        let error = held.check().await.unwrap_err();
        assert!(matches!(error, LockError::NoAnswer { .. } | LockError::Late { .. }), "{error}");
        let error = held.decide("3-a", &json!("b")).await.unwrap_err();
        assert!(matches!(error, LockError::NoAnswer { .. }), "{error}");
        // Four questions, each with a third of the time.
        let took = started.elapsed();
        assert!(took < TTL * 4 / 3 + BUSY, "{took:?}");
    };
    store.process.terminate(SOON).await?;
    refused(&lock, &first).await;
    store.restart().await?;
    // Leases are on etcd's disk, and last anew from when it is up.
    until_checked(&first).await?;

    store.process.freeze()?;
    refused(&lock, &first).await;
    store.process.thaw()?;
    let second = held(&lock, "run-1").await;
    second.check().await.unwrap();
    store.process.kill();
    refused(&lock, &second).await;
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_is_gone_or_silent_leaves_the_others_their_time() -> Outcome {
    let store = Store::start(&[]).await?;
    let silent = Wire::to(store.port).await?;
    silent.set(WireMode::BlackHole).await?;
    let lock = lock_at(&[store.lab.free_port()?, silent.port(), store.port]);
    let first = held(&lock, "run-1").await;
    // Who answered last is asked first: of a few questions the quickest has not waited for the silent one.
    let mut took = TTL;
    for _ in 0..5 {
        let started = Instant::now();
        first.check().await.unwrap();
        took = took.min(started.elapsed());
    }
    assert!(took < TTL / 9, "{took:?}");
    let none = lock_at(&[]).acquire(SYSTEM, &holder("run-1", "vigil-a")).await.unwrap_err();
    assert!(matches!(none, LockError::NoAnswer { .. }), "{none}");
    Ok(())
}

#[tokio::test]
async fn a_member_that_is_alone_says_nothing_of_what_it_remembers() -> Outcome {
    let lab = Lab::new()?;
    let names = ["one", "two", "three"];
    let ports = [lab.free_port()?, lab.free_port()?, lab.free_port()?];
    let peers = [lab.free_port()?, lab.free_port()?, lab.free_port()?];
    let all = names.iter().zip(peers).map(|(name, peer)| format!("{name}=http://127.0.0.1:{peer}"));
    let all = all.collect::<Vec<_>>().join(",");
    let mut members = Vec::new();
    for ((name, port), peer) in names.into_iter().zip(ports).zip(peers) {
        members.push(member(&lab, name, port, peer, &all, &[])?);
    }
    for (port, process) in ports.into_iter().zip(&members) {
        answers(port, process).await?;
    }
    let (alone, together) = (lock_at(&ports[..1]), lock_at(&ports));
    let first = held(&alone, "run-1").await;
    until_checked(&first).await?;
    members[1].freeze()?;
    members[2].freeze()?;
    let error = first.check().await.unwrap_err();
    assert!(matches!(error, LockError::NoAnswer { .. }), "{error}");
    let error = together.acquire(SYSTEM, &holder("run-2", "vigil-b")).await.unwrap_err();
    assert!(matches!(error, LockError::NoAnswer { .. }), "{error}");
    drop(first);
    members[1].thaw()?;
    // Two of three are enough, whoever led before.
    until_held(&together, "run-2").await?.check().await.unwrap();
    Ok(())
}

/// What becomes of an answer.
enum Answer {
    Comes,
    ComesAfter(Duration),
    IsLost,
}

/// A way to etcd on which `meddle` says what becomes of the answer to each request.
async fn meddled(upstream: u16, meddle: impl Fn(&str) -> Answer + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let meddle = Arc::new(meddle);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", upstream)).await.unwrap();
            let meddle = Arc::clone(&meddle);
            tokio::spawn(async move { forward(client, server, &*meddle).await });
        }
    });
    port
}

async fn forward(mut client: TcpStream, mut server: TcpStream, meddle: &(impl Fn(&str) -> Answer + Sync)) {
    let (mut asked, mut answered, mut fate) = ([0; 8192], [0; 8192], Answer::Comes);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let text = String::from_utf8_lossy(&asked[..length]);
                if text.starts_with("POST") {
                    fate = meddle(&text);
                }
                if server.write_all(&asked[..length]).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                match std::mem::replace(&mut fate, Answer::Comes) {
                    Answer::Comes => {}
                    Answer::ComesAfter(pause) => tokio::time::sleep(pause).await,
                    Answer::IsLost => return,
                }
                if client.write_all(&answered[..length]).await.is_err() { return }
            }
        }
    }
}

#[tokio::test]
async fn a_renewal_counts_from_when_it_was_asked_for() -> Outcome {
    let store = Store::start(&[]).await?;
    let asked = Arc::new(Mutex::new(None));
    let first = Arc::clone(&asked);
    let pause = TTL / 5;
    let port = meddled(store.port, move |request| match request.contains("/lease/keepalive") {
        false => Answer::Comes,
        true => {
            let mut asked = first.lock().unwrap();
            let answer = if asked.is_none() { Answer::ComesAfter(pause) } else { Answer::IsLost };
            asked.get_or_insert_with(Instant::now);
            answer
        }
    });
    let lock = lock_at(&[port.await]);
    let held = held(&lock, "run-1").await;
    let (before, ago) = wait_until("the holder to be late", SOON, async || {
        let before = Instant::now();
        match held.check().await {
            Err(LockError::Late { ago, .. }) => Ok((before, ago)),
            seen => Err(format!("{seen:?}")),
        }
    })
    .await?;
    let asked = asked.lock().unwrap().unwrap();
    assert!(ago >= before - asked, "{ago:?} and {:?}", before - asked);
    Ok(())
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_again() -> Outcome {
    let store = Store::start(&[]).await?;
    let lose = Arc::new(AtomicBool::new(true));
    let armed = Arc::clone(&lose);
    let port = meddled(store.port, move |request| match request.contains("/kv/txn") && armed.swap(false, SeqCst) {
        true => Answer::IsLost,
        false => Answer::Comes,
    });
    let lock = lock_at(&[port.await]);
    let first = held(&lock, "run-1").await;
    assert!(!lose.swap(true, SeqCst), "nothing was lost");
    first.check().await.unwrap();
    assert_eq!(first.decide("3-a", &json!("b")).await.unwrap(), Decided::Ours);
    assert!(!lose.swap(true, SeqCst), "nothing was lost");
    // The same for who takes over from itself.
    let again = held(&lock, "run-1").await;
    assert!(!lose.load(SeqCst), "nothing was lost");
    assert_eq!(again.token(), first.token());
    again.check().await.unwrap();
    Ok(())
}

/// Files that etcd and we read.
fn written(lab: &Lab, name: &str, text: &str) -> PathBuf {
    let path = lab.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn etcd_asks_for_a_login_over_tls_and_asks_again() -> Outcome {
    let files = Lab::new()?;
    let authority = Authority::new();
    let issued = authority.issue(&["127.0.0.1"]);
    let ca_file = written(&files, "ca.pem", &authority.pem());
    let (cert, key) = (written(&files, "etcd.pem", &issued.cert), written(&files, "etcd.key", &issued.key));
    let password_file = written(&files, "password", "hunter2\n");
    let (plain, secure) = (files.free_port()?, files.free_port()?);
    let lab = Lab::new()?;
    let more = [
        format!("--listen-client-urls=http://127.0.0.1:{plain},https://127.0.0.1:{secure}"),
        format!("--cert-file={}", cert.display()),
        format!("--key-file={}", key.display()),
        "--bcrypt-cost=4".to_owned(),
    ];
    let peers = lab.free_port()?;
    let process = Store::spawn(&lab, plain, peers, &more)?;
    let store = Store { lab, process, port: plain, peers, more: more.to_vec() };
    answers(store.port, &store.process).await?;
    for (user, password) in [("root", "r"), ("vigil", "hunter2")] {
        store.post("/v3/auth/user/add", &json!({"name": user, "password": password})).await;
        store.post("/v3/auth/role/add", &json!({"name": user})).await;
        store.post("/v3/auth/user/grant", &json!({"user": user, "role": user})).await;
    }
    let (from, to) = (BASE64.encode("/pgvigil/"), BASE64.encode("/pgvigil0"));
    let permission = json!({"permType": "READWRITE", "key": from, "range_end": to});
    store.post("/v3/auth/role/grant", &json!({"name": "vigil", "perm": permission})).await;
    store.post("/v3/auth/enable", &json!({})).await;

    let endpoint = Url::parse(&format!("https://127.0.0.1:{secure}")).unwrap();
    let anonymous = EtcdSettings { ttl: TTL, ca_file: Some(ca_file), ..EtcdSettings::of(vec![endpoint]) };
    let ours = EtcdSettings {
        user: Some("vigil".to_owned()),
        password_file: Some(password_file.clone()),
        ..anonymous.clone()
    };
    let lock = Lock::Etcd(Etcd::new(&ours));
    let first = held(&lock, "run-1").await;
    assert_eq!(first.decide("3-a", &json!("b")).await.unwrap(), Decided::Ours);
    // A new password ends all logins with the old one.
    let root = store.post("/v3/auth/authenticate", &json!({"name": "root", "password": "r"})).await;
    let root = format!("Authorization: {}\r\n", root["token"].as_str().unwrap());
    std::fs::write(&password_file, "hunter3\n").unwrap();
    store.post_as(&root, "/v3/auth/user/changepw", &json!({"name": "vigil", "password": "hunter3"})).await;
    first.check().await.unwrap();
    first.release().await.unwrap();

    let refused = async |settings: &EtcdSettings| {
        let lock = Lock::Etcd(Etcd::new(settings));
        lock.acquire(SYSTEM, &holder("run-2", "vigil-a")).await.unwrap_err()
    };
    let error = refused(&anonymous).await;
    assert!(matches!(error, LockError::Refused { .. }), "{error}");
    let error = refused(&EtcdSettings { prefix: "/other".to_owned(), ..ours.clone() }).await;
    assert!(matches!(error, LockError::Refused { .. }) && error.to_string().contains("permission denied"), "{error}");
    let error = refused(&EtcdSettings { ca_file: None, ..ours.clone() }).await;
    assert!(matches!(error, LockError::NoAnswer { .. }) && error.to_string().contains("certificate"), "{error}");
    std::fs::write(&password_file, "hunter4\n").unwrap();
    let error = refused(&ours).await;
    assert!(matches!(error, LockError::Refused { .. }) && !format!("{error:?} {error}").contains("hunter"), "{error}");
    std::fs::remove_file(&password_file).unwrap();
    let error = refused(&ours).await;
    assert!(matches!(error, LockError::File(_)) && error.to_string().contains("password"), "{error}");
    Ok(())
}

#[tokio::test]
async fn of_one_pgvigil_the_lock_is_always_held() {
    let held = held(&Lock::Single, "run-1").await;
    held.check().await.unwrap();
    assert_eq!(held.decide("3-a", &json!("b")).await.unwrap(), Decided::Ours);
    held.release().await.unwrap();
}
