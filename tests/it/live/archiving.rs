//! The archiver's verdict against archivers that work, fail, hang and pretend.

use std::collections::BTreeMap;
use std::time::Duration;

use pgvigil::clock::Moment;
use pgvigil::collector::archive_verdict::ArchiveState;
use pgvigil::collector::archiver::archive_evidence;
use pgvigil::collector::snapshot::{Exchange, NodeView, Snapshot};
use pgvigil::collector::{COLLECTORS, Collector};
use pgvigil::lab::{Archive, Lab, LabError, Role, Server, ServerOptions, StandbyOptions, wait_until};
use pgvigil::pg::records::Records;
use pgvigil::pg::version::ServerVersion;
use tokio_postgres::Client;

const SOON: Duration = Duration::from_secs(20);
const HUNG_AFTER: Duration = Duration::from_secs(2);

fn collector(name: &str) -> &'static dyn Collector {
    *COLLECTORS.iter().find(|collector| collector.name() == name).unwrap()
}

/// One reading of what the verdict is made of, and the verdict.
async fn verdict(client: &Client, version: ServerVersion) -> ArchiveState {
    let mut snapshot = Snapshot { version: Some(version), ..Snapshot::default() };
    for name in ["recovery", "archiver", "archive_status"] {
        let sent = Moment::now();
        let rows = client.query(collector(name).sql().pick(version).unwrap(), &[]).await.unwrap();
        let columns: Vec<_> = rows[0].columns().iter().map(|column| column.name().to_owned()).collect();
        let cells = rows.iter().map(|row| (0..row.len()).map(|cell| row.get(cell)).collect()).collect();
        let exchange = Exchange { sent, received: Moment::now() };
        collector(name).store(&Records::new(columns.into(), cells), &mut snapshot, exchange).unwrap();
    }
    let view = NodeView {
        cluster: "c",
        node: "a",
        snapshot: &snapshot,
        now: Moment::now(),
        fast_window: SOON,
        slow_window: SOON,
        not_before: Moment::default(),
        archive_hung_after: HUNG_AFTER,
        standby_names: BTreeMap::new(),
    };
    archive_evidence(&view).verdict()
}

async fn wait_for(server: &Server, client: &Client, state: ArchiveState) -> Result<(), LabError> {
    let version = ServerVersion(server.major() * 10_000);
    wait_until(format!("archiving to be {state:?}"), SOON, async || match verdict(client, version).await {
        seen if seen == state => Ok(()),
        seen => Err(format!("{seen:?}")),
    })
    .await
}

#[tokio::test]
async fn the_verdict_follows_what_the_command_does() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let good = Archive::Into(lab.server_dir("wal")?);
    let a = lab.primary("a", ServerOptions::default().archive(&good)).await?;
    let client = a.connect_as(Role::Monitor).await?;
    wait_for(&a, &client, ArchiveState::Never).await?;
    a.switch_wal().await?;
    wait_for(&a, &client, ArchiveState::Ok).await?;

    a.archive(&Archive::Hung).await?;
    a.switch_wal().await?;
    wait_for(&a, &client, ArchiveState::Hung).await?;

    // The hung command is ended, and its failure counted.
    a.archive(&Archive::Broken).await?;
    wait_for(&a, &client, ArchiveState::Failing).await?;
    a.archive(&Archive::Noop).await?;
    wait_for(&a, &client, ArchiveState::Noop).await?;
    a.archive(&Archive::Unset).await?;
    wait_for(&a, &client, ArchiveState::Unset).await?;
    a.archive(&good).await?;
    a.switch_wal().await?;
    wait_for(&a, &client, ArchiveState::Ok).await?;

    // A standby with archive_mode=on has no archiver.
    let b = lab.standby_of(
        &a,
        "b",
        StandbyOptions { server: ServerOptions::default().archive(&good), ..Default::default() },
    );
    let b = b.await?;
    wait_for(&b, &b.connect_as(Role::Monitor).await?, ArchiveState::Off).await?;
    let off = lab.primary("off", ServerOptions::default()).await?;
    wait_for(&off, &off.connect_as(Role::Monitor).await?, ArchiveState::Off).await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn commands_that_keep_nothing_are_told_from_those_that_may() -> Result<(), LabError> {
    let noops = [
        "cd .",
        " cd . ",
        "cd  .",
        ":",
        ": %p",
        "true",
        "/bin/true",
        "/usr/bin/true",
        " /bin/true\n",
        "true;",
        "true %p %f",
        "exit 0",
        "exit",
        "exit 0;",
        "echo archived %f",
        "/bin/true # off for now",
        "# nothing",
    ];
    let real = [
        "cp %p /wal/%f",
        "true && cp %p /wal/%f",
        "true; cp %p /wal/%f",
        "true\ncp %p /wal/%f",
        "echo %f >> /wal/list",
        "cat %p | ssh store",
        ": $(cp %p /wal/%f)",
        "exit 1",
        "false",
        "cd /wal",
        "cd . && cp %p /wal",
        "truecopy %p",
        "/opt/bin/true",
        "envdir /etc/wal-g wal-g wal-push %p",
        "test ! -f /wal/%f && cp %p /wal/%f",
        ": `cp %p /wal`",
        "exit 0 || cp",
        "remote-copy %p",
        "exitcopy",
        "echo_copy %p",
    ];
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().set("archive_mode", "on")).await?;
    let client = a.connect_as(Role::Monitor).await?;
    for (_, sql) in collector("archiver").sql().0 {
        // Only what this server knows; the command is a parameter here, for a setting of the server takes a reload each.
        if sql.contains("archive_library") && a.major() < 15 {
            continue;
        }
        let asked = sql.replace("current_setting('archive_command')", "$1::text");
        assert_ne!(asked, *sql);
        let statement = client.prepare(&asked).await.unwrap();
        let all = noops.map(|text| (text, "noop")).into_iter().chain(real.map(|text| (text, "set")));
        for (text, expected) in all.chain(["", " ", "\t\n"].map(|text| (text, "unset"))) {
            let row = client.query_one(&statement, &[&text]).await.unwrap();
            assert_eq!(row.get::<_, &str>("command"), expected, "{text:?}");
        }
    }
    lab.stop().await;
    Ok(())
}
