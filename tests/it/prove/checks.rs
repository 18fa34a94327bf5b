//! Mistakes that take a compiler, another major version, a mount or an address of this machine to make: `make prove-checks`.

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgvigil::lab::{
    Archive, Binaries, Lab, LabError, Role, ServerOptions, Spawn, StandbyOptions, StopMode, wait_until,
};

use crate::fixture::ROOT;
use crate::live::archive_dir::archived;
use crate::live::failures::{PGVIGIL, config, opened};
use crate::live::practice::{Ill, Practice, found, gone, says};
use crate::live::tls::certificate;
use crate::live::watch::{SOON, Vigil};

type Outcome = Result<(), LabError>;

/// Waits until a running pgvigil finds this mistake, or is sure that there is none.
async fn until_found(vigil: &Vigil, name: &str, is_found: bool) -> Result<Vec<Ill>, LabError> {
    wait_until(format!("{name} found: {is_found}"), 2 * SOON, async || {
        let text = vigil.get("/api/v1/clusters/lab/checks", "").await?;
        let report = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let ills = found(&report);
        let is_so = if is_found { ills.iter().any(|ill| ill.check == name) } else { gone(&report, &[name]) };
        if is_so { Ok(ills) } else { Err(text) }
    })
    .await
}

#[tokio::test]
async fn a_page_that_the_disk_spoilt_is_restored_from_a_standby() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().checksums().set("autovacuum", "off")).await?;
    a.sql("CREATE TABLE orders AS SELECT n AS id FROM generate_series(1, 1000) AS n").await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let practice = Practice::new(&lab, &[&a, &b]);
    let file = a.value("SELECT pg_relation_filepath('orders')").await?.unwrap();
    a.stop(StopMode::Fast).await?;
    let file = a.data_dir().join(file);
    let mut pages = std::fs::read(&file).unwrap();
    pages[8_000] ^= 1;
    std::fs::write(&file, pages).unwrap();
    a.start().await?;
    assert!(a.sql("SELECT sum(id) FROM orders").await.is_err());
    practice.told("checksum_failures", "restore it from a node without failures").await?;
    practice.told("checksum_failures", "SELECT pg_stat_reset() and ANALYZE").await?;
    let rows = b.query("SELECT id FROM orders").await?;
    let rows: Vec<_> = rows.into_iter().map(|row| format!("({})", row[0].as_deref().unwrap())).collect();
    a.sql("DROP TABLE orders").await?;
    a.sql(&format!("CREATE TABLE orders AS SELECT * FROM (VALUES {}) AS kept (id)", rows.join(", "))).await?;
    a.sql("SELECT pg_stat_reset()").await?;
    practice.until_gone(&["checksum_failures"]).await?;
    lab.stop().await;
    Ok(())
}

/// Moves the clock of the program that it is loaded into, by the seconds in CLOCK_SHIFT.
const SHIFT: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long shift(void) {
    static long seconds;
    static int known;
    const char *text = getenv("CLOCK_SHIFT");
    if (!known) { seconds = text ? atol(text) : 0; known = 1; }
    return seconds;
}
int gettimeofday(struct timeval *tv, void *zone) {
    int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
    int done = real(tv, zone);
    if (done == 0 && tv) tv->tv_sec += shift();
    return done;
}
int clock_gettime(clockid_t clock, struct timespec *at) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, at);
    if (done == 0 && clock == CLOCK_REALTIME) at->tv_sec += shift();
    return done;
}
time_t time(time_t *at) {
    struct timeval now;
    gettimeofday(&now, NULL);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"#;

/// The programs of PostgreSQL under a clock that a file `shift` beside the data directory moves.
fn shifted(lab: &Lab) -> Result<Binaries, LabError> {
    let dir = lab.server_dir("bin")?;
    let (source, library) = (lab.path().join("shift.c"), dir.join("shift.so"));
    std::fs::write(&source, SHIFT).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl");
    let compiled = compiler.output().expect("a C compiler");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    for name in ["postgres", "initdb"] {
        let real = Binaries::find()?.dir().join(name);
        let script = format!(
            "#!/bin/sh\nif [ -e ../shift ]; then export CLOCK_SHIFT=$(cat ../shift) LD_PRELOAD={}; fi\nexec {} \"$@\"\n",
            library.display(),
            real.display()
        );
        std::fs::write(dir.join(name), script).unwrap();
        std::fs::set_permissions(dir.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    Binaries::in_dir(&dir)
}

#[tokio::test]
async fn a_clock_is_set_and_a_transaction_of_long_ago_ended() -> Outcome {
    let tools = Lab::new()?;
    let lab = Lab::with(shifted(&tools)?)?;
    let options = || ServerOptions::default().set("max_prepared_transactions", "5");
    let a = lab.primary("a", options()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { server: options(), ..Default::default() }).await?;
    let shift = a.data_dir().parent().unwrap().join("shift");
    std::fs::write(&shift, "-7200").unwrap();
    std::fs::set_permissions(&shift, std::fs::Permissions::from_mode(0o644)).unwrap();
    a.restart().await?;
    let practice = Practice::new(&lab, &[&a, &b]);
    a.sql("BEGIN; CREATE TABLE orders (id int); PREPARE TRANSACTION 'order 7'").await?;
    practice.told("clock", "start chrony or another NTP client").await?;
    std::fs::remove_file(&shift).unwrap();
    a.restart().await?;
    practice.until_gone(&["clock"]).await?;

    practice.told("prepared_transactions", "ROLLBACK PREPARED '<gid>'").await?;
    let gid = a.value("SELECT gid FROM pg_prepared_xacts").await?.unwrap();
    a.sql(&format!("ROLLBACK PREPARED '{gid}'")).await?;
    practice.until_gone(&["prepared_transactions"]).await?;
    lab.stop().await;
    tools.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_stream_in_the_clear_is_encrypted() -> Outcome {
    // Nothing is sent: the kernel says by which address it would be.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").expect("an address of this machine beside 127.0.0.1");
    let address = socket.local_addr().unwrap().ip().to_string();
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().set("listen_addresses", "*")).await?;
    let file = a.data_dir().join("pg_hba.conf");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}host replication replicator {address}/32 scram-sha-256\n")).unwrap();
    a.reload().await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let practice = Practice::new(&lab, &[&a, &b]);
    let conninfo = |more: &str| {
        format!(
            "host={address} port={} user=replicator password={} application_name=b {more}",
            a.port(),
            Role::Replicator.password()
        )
    };
    b.alter(&[("primary_conninfo", &conninfo(""))]).await?;
    practice.told("replication_tls", "set ssl = on with ssl_cert_file and ssl_key_file, reload").await?;
    practice.told("replication_tls", "add sslmode=verify-full to primary_conninfo").await?;
    let (certificate, key) = certificate(&lab, &address).await?;
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    a.alter(&[("ssl_cert_file", &certificate), ("ssl_key_file", &key), ("ssl", "on")]).await?;
    b.alter(&[("primary_conninfo", &conninfo(&format!("sslmode=verify-full sslrootcert={certificate}")))]).await?;
    practice.until_gone(&["replication_tls"]).await?;
    a.wait_streaming("b", SOON).await?;
    lab.stop().await;
    Ok(())
}

/// The programs of this major version.
fn of_major(major: &str) -> Result<Binaries, LabError> {
    let listed = Command::new(Path::new(ROOT).join("scripts/bootstrap")).arg("where").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let dir = listed.lines().find_map(|line| line.strip_prefix(major)).expect("scripts/bootstrap versions");
    Binaries::in_dir(Path::new(dir.trim()))
}

#[tokio::test]
async fn a_logical_slot_outlives_a_failover_from_17_on() -> Outcome {
    let lab = Lab::with(of_major("17")?)?;
    let a = lab.primary("a", ServerOptions::default().set("wal_level", "logical")).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let subscriber = lab.primary("subscriber", ServerOptions::default().fresh_identity()).await?;
    let practice = Practice::new(&lab, &[&a, &b]);
    a.sql("CREATE TABLE orders (id int PRIMARY KEY)").await?;
    a.sql("CREATE PUBLICATION orders FOR TABLE orders").await?;
    subscriber.sql("CREATE TABLE orders (id int PRIMARY KEY)").await?;
    let connection = a.dsn(Role::Superuser);
    subscriber.sql(&format!("CREATE SUBSCRIPTION feed CONNECTION '{connection}' PUBLICATION orders")).await?;
    let ills = practice.until_found(&["logical_failover"]).await?;
    let words = ills.iter().find(|ill| ill.check == "logical_failover").unwrap().fix[0]["words"].clone();
    let words = words.as_str().unwrap().strip_prefix("on the subscriber: ").unwrap().replace("<name>", "feed");
    let (statements, rest) = words.rsplit_once("; and on the standby ").unwrap();
    for statement in statements.split("; ") {
        subscriber.sql(statement).await?;
    }
    assert_eq!(rest, "sync_replication_slots = on");
    b.alter(&[("sync_replication_slots", "on")]).await?;
    practice.until_gone(&["logical_failover"]).await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_volume_of_wal_that_is_full_gets_room() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    // A directory of its own, for the server needs its WAL.
    let data = lab.own_dir("data")?;
    let pg_wal = data.join("pg_wal");
    std::fs::create_dir_all(&pg_wal).unwrap();
    let node = format!("{{name: a, dsn: \"{}\", data_dir: {}}}", a.dsn(Role::Monitor), data.display());
    let path = config(&lab, port, &state, &node);
    // A file system that only pgvigil sees.
    let script =
        "mount -t tmpfs -o size=1m tmpfs \"$1\" && mkdir \"$1/archive_status\" && exec \"$2\" serve --config \"$3\"";
    let spawn = Spawn::new("pgvigil", "unshare").arg("-rm").arg("sh").arg("-c").arg(script).arg("sh");
    let process = lab.spawn(spawn.arg(&pg_wal).arg(PGVIGIL).arg(path))?;
    let seen = PathBuf::from(format!("/proc/{}/root{}", process.id().pid, pg_wal.display()));
    let vigil = opened(process.clone(), port).await.unwrap_or_else(|error| panic!("{error}\n{}", process.log()));
    until_found(&vigil, "wal_disk", false).await?;
    std::fs::write(seen.join("filler"), vec![0; 1_000_000]).unwrap();
    let ills = until_found(&vigil, "wal_disk", true).await?;
    says(&ills, "wal_disk", "do as slot_inactive, archive_failing and archive_hung say");
    std::fs::remove_file(seen.join("filler")).unwrap();
    until_found(&vigil, "wal_disk", false).await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_gap_of_the_archive_is_filled_from_pg_wal() -> Outcome {
    let lab = Lab::new()?;
    let dir = lab.server_dir("archive")?;
    let a = lab.primary("a", ServerOptions::default().archive(&Archive::Into(dir.clone()))).await?;
    let names = archived(&a, &dir, 5).await?;
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    let text = format!(
        "listen: 127.0.0.1:{port}\nstate_dir: {}\nsample_interval: 500ms\ncollect_interval: 1s\nlogin_interval: 1s\n\
         archive_hung_after: 1s\nclusters:\n  - name: lab\n    archive_dir: {}\n    nodes:\n      - {{name: a, dsn: \"{}\"}}\n",
        state.display(),
        dir.display(),
        a.dsn(Role::Monitor)
    );
    let path = lab.path().join("gap.yml");
    std::fs::write(&path, text).unwrap();
    let vigil = Vigil::start_at(&lab, path, port).await?;
    std::fs::remove_file(dir.join(&names[2])).unwrap();
    let ills = until_found(&vigil, "archive_gap", true).await?;
    says(&ills, "archive_gap", "copy what is missing into archive_dir from a node that still has it in pg_wal");
    std::fs::copy(a.data_dir().join("pg_wal").join(&names[2]), dir.join(&names[2])).unwrap();
    until_found(&vigil, "archive_gap", false).await?;
    lab.stop().await;
    Ok(())
}
