//! One look at a cluster, for those who do not stay: every node is asked for everything, twice where time counts.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::{join_all, join3};
use tokio::time::{sleep, timeout};

use super::backups;
use super::clients::{self, Entrance};
use super::{Finder, Hub, Source, server_log, told, write_probe};
use crate::clock::Moment;
use crate::cluster::facts::Report;
use crate::cluster::layout::Timing;
use crate::collector::snapshot::Exchange;
use crate::collector::{COLLECTORS, Pace};
use crate::config::Backup;
use crate::doctor::login::Login;
use crate::pg::failure::{Cause, Failure};
use crate::pg::session::{Session, replication};

/// Between the two fast readings: what moved since the first tells that the second is of now.
const BETWEEN: Duration = Duration::from_millis(500);
/// So many deadlines of a query are waited for a whole slow reading, which one server may spend on listing a directory.
const SLOW_PATIENCE: u32 = 5;

/// Where to ask a node, and where as an administrator.
pub struct Asked {
    /// As whom pgvigil watches.
    pub source: Source,
    /// As whom it may see `pg_hba_file_rules`.
    pub admin: Option<Source>,
    /// As whom a standby logs in there, if the config says so.
    pub replication: Option<Source>,
    /// Where its log is, if that can be read.
    pub log: Option<PathBuf>,
}

/// Asks the nodes of `hub`'s cluster, in its order, and reports what they say; none waits for another. `writes`: then the write probe
/// goes from the primary to each standby. Whoever makes the backups is asked first.
pub async fn once(hub: &Hub, nodes: &[Asked], backup: Option<&Backup>, entrances: &[Entrance], writes: bool) {
    // Before the nodes: what they say is of the moment.
    if let Some(backup) = backup {
        backups::once(hub, backup).await;
    }
    let timing = hub.cluster().layout().timing;
    let names: Vec<_> = hub.cluster().layout().members.iter().map(|member| member.name.clone()).collect();
    let begun = names.iter().zip(nodes).map(|(name, asked)| async move {
        let begun = begin(hub, name, asked, timing).await;
        begun.map_err(|failure| hub.report(name, Report::Failed(failure))).ok()
    });
    let logs = names.iter().zip(nodes).filter_map(|(name, asked)| Some((name, asked.log.clone()?)));
    let logs =
        logs.map(|(name, path)| async move { hub.report(name, Report::ServerLog(server_log::once(path).await)) });
    let (mut sessions, _, ()) = join3(join_all(begun), join_all(logs), clients::once(hub, entrances)).await;
    // A probe takes its time: what was read before it is old after it.
    for round in 0..if writes { 3 } else { 2 } {
        match round {
            0 => {}
            1 => sleep(BETWEEN.min(timing.sample_interval)).await,
            _ => {
                let admins = nodes.iter().map(|asked| asked.admin.clone()).collect();
                let late = async {
                    write_probe::probe(hub, &admins, write_probe::DEADLINE).await;
                    let within = SLOW_PATIENCE * timing.query_timeout;
                    read_all(hub, &names, &mut sessions, Pace::Slow, within).await;
                };
                awake(hub, timing.sample_interval, late).await;
            }
        }
        read_all(hub, &names, &mut sessions, Pace::Fast, timing.query_timeout).await;
        hub.cluster().tick(Moment::now());
    }
}

/// Reads every node whose session still stands; one that fails is left alone from then on.
async fn read_all(hub: &Hub, names: &[String], sessions: &mut [Option<Session>], pace: Pace, deadline: Duration) {
    let reading = names.iter().zip(sessions).map(|(name, session)| async move {
        let Some(open) = session else { return };
        if let Err(failure) = read(hub, name, open, pace, deadline).await {
            hub.report(name, Report::Failed(failure));
            *session = None;
        }
    });
    join_all(reading).await;
}

/// Waits for `done` with the cluster's clock going on: had it stood still, nothing that was read before would count.
async fn awake(hub: &Hub, each: Duration, done: impl Future<Output = ()>) {
    let ticks = async {
        loop {
            sleep(each).await;
            hub.cluster().tick(Moment::now());
        }
    };
    tokio::select! {
        () = done => {}
        () = ticks => {}
    }
}

/// Logs in and reads what changes seldom.
async fn begin(hub: &Hub, name: &str, asked: &Asked, timing: Timing) -> Result<Session, Failure> {
    let mut session = connect(&asked.source, timing).await?;
    hub.report(name, Report::Connected { version: session.version() });
    let preparing = session.prepare(COLLECTORS);
    timeout(timing.query_timeout, preparing).await.map_err(|_| late())??;
    read(hub, name, &mut session, Pace::Slow, SLOW_PATIENCE * timing.query_timeout).await?;
    let asking = told::ask(&mut session);
    let mut told = timeout(SLOW_PATIENCE * timing.query_timeout, asking).await.map_err(|_| late())??;
    if let (None, Some(admin)) = (&told.hba, &asked.admin)
        && let Ok(mut admin) = connect(admin, timing).await
        && let Ok(Ok(rules)) = timeout(timing.query_timeout, told::rules(&mut admin)).await
    {
        told.hba = rules;
    }
    if let Some(replication) = &asked.replication {
        told.login = Some(log_in_for_replication(replication, timing).await);
    }
    hub.report(name, Report::Told(Box::new(told)));
    Ok(session)
}

/// Logs in and out again as a standby does.
async fn log_in_for_replication(source: &Source, timing: Timing) -> Login {
    match Finder::new(source.clone()).find(timing.connect_timeout).await {
        Ok((target, tls)) => replication::try_login(&target, &tls, timing.connect_timeout).await,
        Err(failure) => Login { user: String::new(), from: None, result: Err(failure) },
    }
}

async fn connect(source: &Source, timing: Timing) -> Result<Session, Failure> {
    let (target, tls) = Finder::new(source.clone()).find(timing.connect_timeout).await?;
    Session::connect(&target, &tls, timing.connect_timeout, timing.query_timeout).await
}

async fn read(hub: &Hub, name: &str, session: &mut Session, pace: Pace, deadline: Duration) -> Result<(), Failure> {
    let of_pace = COLLECTORS.iter().filter(|collector| collector.pace() == pace);
    let names: Vec<_> = of_pace.map(|collector| collector.name()).collect();
    let sent = Moment::now();
    let (answers, _) = timeout(deadline, session.read_these(&names)).await.map_err(|_| late())??;
    let exchange = Exchange { sent, received: Moment::now() };
    hub.report(name, Report::Read { pace, exchange, answers });
    Ok(())
}

fn late() -> Failure {
    Failure::new(Cause::Timeout, "no answer to a query")
}
