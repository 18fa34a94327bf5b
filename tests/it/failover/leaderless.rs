//! A cluster of Patroni that has lost its leader, and no standby that Patroni would promote by itself.

use std::path::Path;

use pgvigil::lab::{Lab, LabError, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio_postgres::{Client, NoTls};

use super::Outcome;
use crate::live::client::try_get;
use crate::live::patroni::{
    Member, PASSWORD, SOON, approve, begin, client, is, post, start_etcd, start_vigil, until, until_run,
};

/// More than the kernel keeps for a walreceiver that does not read, and than the 1 MiB that Patroni lets a new leader lack.
const MIB_THAT_THE_STANDBY_LACKS: usize = 48;

async fn connect(member: &Member) -> Client {
    let (client, connection) = tokio_postgres::connect(&member.dsn(), NoTls).await.expect("a server that is up");
    tokio::spawn(connection);
    client
}

fn postmaster(data: &Path) -> Pid {
    let lock = std::fs::read_to_string(data.join("postmaster.pid")).expect("a server that is up");
    let pid = lock.lines().next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw);
    pid.expect("the postmaster's number")
}

/// Stops `b` from hearing of what `a` writes, until it lacks more than Patroni allows; whom to let go on.
async fn leave_behind(a: &Member, b: &Member) -> Result<Pid, LabError> {
    let receiver: i32 = connect(b).await.query_one("SELECT pid FROM pg_stat_wal_receiver", &[]).await.unwrap().get(0);
    let receiver = Pid::from_raw(receiver).expect("a number");
    kill_process(receiver, Signal::STOP).expect("a walreceiver");
    let writer = connect(a).await;
    writer.batch_execute("CREATE TABLE behind (filler text)").await.unwrap();
    let mib = "INSERT INTO behind SELECT repeat(md5(random()::text), 32) FROM generate_series(1, 1024)";
    for _ in 0..MIB_THAT_THE_STANDBY_LACKS {
        writer.batch_execute(mib).await.unwrap();
    }
    // Patroni goes by what the leader last wrote into its store.
    wait_until("Patroni to know how far b is behind", SOON, async || {
        let seen = try_get(a.api, "/cluster").await?.json();
        let members = seen["members"].as_array().cloned().unwrap_or_default();
        let lag = members.iter().find(|member| member["name"] == "b").and_then(|member| member["lag"].as_u64());
        if lag > Some(16 << 20) { Ok(()) } else { Err(seen.to_string()) }
    })
    .await?;
    Ok(receiver)
}

#[tokio::test(flavor = "multi_thread")]
async fn patroni_that_found_nobody_fit_promotes_by_a_persons_word() -> Outcome {
    let lab = Lab::new()?;
    let (_etcd, store) = start_etcd(&lab)?;
    let password = lab.path().join("password");
    std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    let a = Member::start(&lab, "a", store)?;
    let ops = client(&[a.api], Some(password.clone()));
    until(&ops, "a to lead", &a.process, |view| is(view, "a", "leader")).await?;
    let b = Member::start(&lab, "b", store)?;
    until(&ops, "b to follow", &b.process, |view| is(view, "b", "replica")).await?;
    let vigil = start_vigil(&lab, [&a, &b], &password).await?;

    let receiver = leave_behind(&a, &b).await?;
    a.process.kill();
    kill_process(postmaster(&a.data), Signal::KILL).expect("the postmaster of a");
    kill_process(receiver, Signal::CONT).expect("the walreceiver of b");
    let ops = client(&[b.api], Some(password.clone()));
    until(&ops, "nobody to lead", &b.process, |view| view.leader().is_none()).await?;

    // Before Patroni's own time is over there is nothing to approve.
    let run = begin(&vigil, "TakeOver", "awaiting").await?;
    assert_eq!((&run["primary"], &run["candidate"]), (&json!("a"), &json!("b")), "{run:#}");
    assert!(ops.cluster().await.unwrap().member_of("a", None).is_none(), "a's Patroni is gone for longer than its ttl");
    approve(&vigil, &run).await;
    let run = until_run(&vigil, "TakeOver", "succeeded").await?;
    let report = run["report"].as_str().unwrap();
    assert!(report.starts_with("b is the primary: Patroni promoted it"), "{run:#}");
    until(&ops, "b to lead", &b.process, |view| is(view, "b", "leader")).await?;
    assert!(!connect(&b).await.query_one("SELECT pg_is_in_recovery()", &[]).await.unwrap().get::<_, bool>(0));
    let id = run["id"].as_str().unwrap();
    assert_eq!(post(&vigil, &format!("/api/v1/runs/{id}/ack"), json!({})).await.status, 200);
    lab.stop().await;
    Ok(())
}
