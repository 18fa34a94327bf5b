//! What clients use is tried as they would: each server of a connection string is asked who it is, or HAProxy whom it leads to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::Hub;
use crate::clock::Moment;
use crate::cluster::layout::Timing;
use crate::collector::snapshot::Fact;
use crate::config::clients::Stats;
use crate::doctor::clients::{Answered, Clients, Led, Server, WHO, Wanted, haproxy, who};
use crate::patience::OneAtATime;
use crate::peer;
use crate::pg::dsn::Target;
use crate::pg::failure::{Failure, NodeState};
use crate::pg::session::Session;
use crate::pg::tls::Connector;

/// How often they are tried; what was found counts three times as long.
const EACH: Duration = Duration::from_secs(60);
/// HAProxy's table is no longer.
const MOST: usize = 4 << 20;

/// Where clients look for a server.
#[derive(Clone)]
pub struct Entrance {
    /// What the config calls it.
    pub name: String,
    /// How it is tried.
    pub by: By,
}

/// How it is tried.
#[derive(Clone)]
pub enum By {
    /// By their connection string.
    Dsn(Route),
    /// By what HAProxy says of a backend.
    Haproxy(Stats, String),
}

/// Reads where a connection string leads: the servers in its order, and which of them is wanted.
pub type Route = Arc<dyn Fn() -> Result<(Wanted, Vec<(Target, Connector)>), Failure> + Send + Sync>;

pub(super) async fn watch(hub: Arc<Hub>, entrances: Vec<Entrance>) {
    report(&hub, entrances.iter().map(|entrance| (entrance.name.clone(), Err("it was not tried yet".to_owned()))));
    let readers: Vec<_> = entrances.iter().map(|_| OneAtATime::default()).collect();
    loop {
        try_all(&hub, &entrances, &readers).await;
        sleep(EACH).await;
    }
}

/// Tries each once.
pub(super) async fn once(hub: &Hub, entrances: &[Entrance]) {
    let readers: Vec<_> = entrances.iter().map(|_| OneAtATime::default()).collect();
    try_all(hub, entrances, &readers).await;
}

/// Reads the files that a connection string needs, on a disk that may hang.
type Reader = OneAtATime<Result<(Wanted, Vec<(Target, Connector)>), Failure>>;

async fn try_all(hub: &Hub, entrances: &[Entrance], readers: &[Reader]) {
    let timing = hub.cluster().layout().timing;
    let tried = entrances.iter().zip(readers).map(async |(entrance, reader)| {
        let led = match &entrance.by {
            By::Dsn(route) => by_dsn(route.clone(), reader, timing).await,
            By::Haproxy(stats, backend) => by_haproxy(stats, backend, timing).await,
        };
        (entrance.name.clone(), led)
    });
    report(hub, join_all(tried).await.into_iter());
}

fn report(hub: &Hub, found: impl Iterator<Item = (String, Result<Led, String>)>) {
    let seen = Moment::now();
    let fact = |(name, led)| Fact { value: Clients { name, counts_for: 3 * EACH, led }, seen };
    hub.cluster().aside_mut().clients = found.map(fact).collect();
}

async fn by_dsn(route: Route, reader: &Reader, timing: Timing) -> Result<Led, String> {
    let read = match reader.within(timing.connect_timeout, move || route()).await {
        Some(Ok(read)) => read.map_err(|failure| failure.to_string())?,
        Some(Err(_)) => return Err("reading its files failed unexpectedly".to_owned()),
        None => return Err("reading its files did not end in time: is their file system well?".to_owned()),
    };
    let (wanted, targets) = read;
    let asked = targets.iter().map(async |(target, tls)| Server {
        address: target.address.clone(),
        answered: match ask(target, tls, timing).await {
            Ok(answered) => answered,
            Err(failure) if failure.state == NodeState::AuthFailed => Answered::Refused(failure.to_string()),
            Err(failure) => Answered::Nobody(failure.to_string()),
        },
    });
    Ok(Led::Servers(wanted, join_all(asked).await))
}

async fn ask(target: &Target, tls: &Connector, timing: Timing) -> Result<Answered, Failure> {
    let mut session = Session::connect(target, tls, timing.connect_timeout, timing.query_timeout).await?;
    match timeout(timing.query_timeout, session.ask(&WHO)).await {
        Ok(answer) => Ok(match answer?.and_then(|records| who(&records).map_err(|error| error.to_string())) {
            Ok(who) => Answered::Who(who),
            Err(why) => Answered::Nobody(why),
        }),
        Err(_) => Ok(Answered::Nobody("no answer to a query".to_owned())),
    }
}

async fn by_haproxy(stats: &Stats, backend: &str, timing: Timing) -> Result<Led, String> {
    let deadline = timing.connect_timeout + timing.query_timeout;
    let said = timeout(deadline, table(stats, deadline)).await;
    let said = said.unwrap_or_else(|_| Err(format!("HAProxy does not answer within {deadline:?}")))?;
    haproxy::read(&said, backend).map(|servers| Led::Backend(backend.to_owned(), servers))
}

/// HAProxy's statistics.
async fn table(stats: &Stats, deadline: Duration) -> Result<String, String> {
    let bytes = match stats {
        Stats::Socket(path) => {
            let failed = |error: std::io::Error| format!("HAProxy's socket {}: {error}", path.display());
            let mut socket = UnixStream::connect(path).await.map_err(failed)?;
            socket.write_all(b"show stat\n").await.map_err(failed)?;
            let mut bytes = Vec::new();
            socket.take(MOST as u64).read_to_end(&mut bytes).await.map_err(failed)?;
            bytes
        }
        Stats::Url(url) => {
            let failed =
                |error: &(dyn std::error::Error + 'static)| format!("HAProxy's statistics: {}", peer::chain(error));
            let tls = peer::tls(None).map_err(|error| failed(&error))?;
            let client = peer::client(tls, deadline).map_err(|error| failed(&error))?;
            let mut answer = client.get(url.reveal()).send().await.map_err(|error| failed(&error))?;
            if !answer.status().is_success() {
                return Err(format!("HAProxy's statistics answer {}", answer.status()));
            }
            let mut bytes = Vec::new();
            while let Some(piece) = answer.chunk().await.map_err(|error| failed(&error))? {
                bytes.extend_from_slice(&piece);
                if bytes.len() > MOST {
                    return Err("HAProxy's statistics are too long".to_owned());
                }
            }
            bytes
        }
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
