//! Two pgvigil that get the same alert, with one lock in etcd.

use std::sync::Arc;

use pgvigil::lab::{Lab, LabError, Spawn, Spawned, etcd, wait_until};

use super::Outcome;
use super::loss;
use super::stage::{OVER, Play, SOON_AFTER, Stage, runs_of};
use super::writable::Writable;
use crate::live::client::try_get;

#[tokio::test(flavor = "multi_thread")]
async fn of_two_receivers_one_acts() -> Outcome {
    let store = Lab::new()?;
    let (_etcd, port) = start_etcd(&store).await?;
    let runbooks =
        format!("{{mode: automatic, lock: {{etcd: {{endpoints: [\"http://127.0.0.1:{port}\"], ttl: 10s}}}}}}");
    let stage = Stage::open_with(Play::default(), &runbooks).await?;
    let another = stage.another(Play::default(), &runbooks).await?;
    let client = stage.written().await?;
    let writable = Writable::watch(&stage.servers()).await?;
    client.wait_more(50).await?;
    stage.a.kill_postmaster()?;
    let (one, two) = tokio::join!(stage.alert_to(&stage.vigil), stage.alert_to(&another));
    assert_eq!([one.unwrap().status, two.unwrap().status], [202, 202]);
    let run = wait_until("both to be over", OVER, async || {
        let runs: Vec<_> = [stage.runs().await, runs_of(&another).await].concat();
        let of = |phase: &str| runs.iter().filter(|run| run["phase"] == phase).cloned().collect::<Vec<_>>();
        let done = of("succeeded");
        // One that came when all was over never began.
        let idle = ["superseded", "stale", "recovered", "blocked"].map(|phase| of(phase).len()).iter().sum::<usize>();
        match done.as_slice() {
            [run] if idle + 1 == runs.len() => Ok(run.clone()),
            _ => Err(format!("{runs:#?}")),
        }
    })
    .await?;
    for run in [stage.runs().await, runs_of(&another).await].concat() {
        println!("{} {}: {}", run["id"], run["phase"], run["report"]);
    }
    let fenced = stage.fenced();
    assert_eq!(fenced.len(), 1, "{fenced:?}");
    assert!(fenced[0].ends_with(run["id"].as_str().unwrap()), "{fenced:?}");
    let candidate = run["candidate"].as_str().unwrap().to_owned();
    let first = async || client.first_by(&candidate).ok_or_else(String::new);
    wait_until("a row on the new primary", SOON_AFTER, first).await?;
    assert_eq!(writable.never_two(), ["a", candidate.as_str()]);
    loss::judge(client, &run, &stage, stage.server(&candidate)).await?;
    Ok(())
}

async fn start_etcd(lab: &Lab) -> Result<(Arc<Spawned>, u16), LabError> {
    let (port, peers) = (lab.free_port()?, lab.free_port()?);
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peers}"));
    let args = [
        format!("--data-dir={}", lab.own_dir("etcd-data")?.display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ];
    let process = lab.spawn(args.iter().fold(Spawn::new("etcd", etcd()?), |spawn, arg| spawn.arg(arg)))?;
    wait_until("etcd to answer", SOON_AFTER, async || match try_get(port, "/health").await {
        Ok(answer) if answer.status == 200 => Ok(()),
        answer => Err(format!("{answer:?}\n{}", process.log_tail(5))),
    })
    .await?;
    Ok((process, port))
}
