//! The write probe: a row is written on the primary, and timed until each standby shows it. That data really arrives is proven by
//! nothing else. It writes to the one primary that is seen, and to nobody while it is not certain that there is but one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Finder, Hub, Source};
use crate::clock::Moment;
use crate::cluster::assess::Verdict;
use crate::cluster::facts::Report;
use crate::cluster::layout::Timing;
use crate::cluster::visible::{Unseen, Visible};
use crate::pg::admin::AdminSession;

/// How long a row may take until it shows, the commit and the logins among it.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// Between two looks for the row.
const EACH: Duration = Duration::from_millis(20);

/// One row for each cluster. Where the node is no primary any more nothing is written.
const WRITE: &str = "INSERT INTO pgvigil.write_probe AS probe (cluster, beat, written_at) \
                     SELECT $1::text, 1, now() WHERE NOT pg_is_in_recovery() \
                     ON CONFLICT (cluster) DO UPDATE SET beat = probe.beat + 1, written_at = now() RETURNING beat::text AS beat";
const READ: &str = "SELECT beat::text AS beat FROM pgvigil.write_probe WHERE cluster = $1::text";

/// Whom the probe asks: each node's administrator, in the layout's order.
pub type Admins = Vec<Option<Source>>;

/// Probes each `interval`, until it is dropped.
pub(super) async fn watch(hub: Arc<Hub>, admins: Admins, interval: Duration) {
    loop {
        let started = Instant::now();
        probe(&hub, &admins, interval + DEADLINE).await;
        sleep(interval.saturating_sub(started.elapsed())).await;
    }
}

/// Probes once, and reports of each standby when it showed the row, or why that is not known. What is found counts for `counts_for`
/// and as long again.
pub(super) async fn probe(hub: &Hub, admins: &Admins, counts_for: Duration) {
    let timing = hub.cluster().layout().timing;
    let cluster = hub.cluster().layout().name.clone();
    let (primary, primaries, standbys) = {
        let cluster = hub.cluster();
        let assessment = cluster.assess(Moment::now());
        let names: Vec<_> = cluster.layout().members.iter().map(|member| member.name.clone()).collect();
        let is_alone = assessment.primaries == 1 && assessment.split_brain == Verdict::No;
        let primary =
            assessment.primary.as_deref().filter(|_| is_alone).and_then(|name| cluster.layout().index_of(name));
        let primary = primary.filter(|node| assessment.nodes[*node].up);
        let writes = |node: usize| assessment.nodes[node].is_primary;
        let (primaries, standbys): (Vec<_>, Vec<_>) =
            names.into_iter().enumerate().partition(|(node, _)| Some(*node) == primary || writes(*node));
        (primary, primaries, standbys)
    };
    primaries.iter().for_each(|(_, name)| hub.report(name, Report::Visible(None)));
    let report = |name: &str, seconds: Result<f64, Unseen>| {
        hub.report(name, Report::Visible(Some(Visible { seconds, counts_for: 2 * counts_for })));
    };
    let all_unseen = |why: Unseen| standbys.iter().for_each(|(_, name)| report(name, Err(why.clone())));
    let Some(primary) = primary else { return all_unseen(Unseen::NoOnePrimary) };
    let end = Instant::now() + DEADLINE;
    let on_primary = format!("on {}: ", hub.cluster().layout().members[primary].name);
    let mut session = match connect(admins.get(primary), timing, end).await {
        Ok(session) => session,
        Err(why) => return all_unseen(Unseen::Error(on_primary + &why)),
    };
    let began = Instant::now();
    let written = session.statement(WRITE, &[&cluster], end.duration_since(Instant::now())).await;
    let beat = match written.map(|records| beat(&records)) {
        Ok(Some(beat)) => beat,
        Ok(None) => return all_unseen(Unseen::NoOnePrimary),
        Err(error) => return all_unseen(Unseen::Error(format!("{on_primary}{error}"))),
    };
    drop(session);
    let looks = standbys.iter().map(async |(node, name)| {
        let seconds = until_shown(admins.get(*node), &cluster_of(hub), beat, timing, end).await;
        report(name, seconds.map(|at| at.duration_since(began).as_secs_f64()));
    });
    join_all(looks).await;
}

fn cluster_of(hub: &Hub) -> String {
    hub.cluster().layout().name.clone()
}

async fn connect(admin: Option<&Option<Source>>, timing: Timing, end: Instant) -> Result<AdminSession, String> {
    let Some(source) = admin.and_then(Option::as_ref) else { return Err("it has no admin_dsn".to_owned()) };
    let connecting = async {
        let (target, tls) = Finder::new(source.clone()).find(timing.connect_timeout).await?;
        AdminSession::connect(&target, &tls, timing.connect_timeout, DEADLINE).await
    };
    match timeout_at(end, connecting).await {
        Ok(connected) => connected.map_err(|failure| failure.to_string()),
        Err(_) => Err("no login in time".to_owned()),
    }
}

/// When the standby showed the row.
async fn until_shown(
    admin: Option<&Option<Source>>,
    cluster: &str,
    written: u64,
    timing: Timing,
    end: Instant,
) -> Result<Instant, Unseen> {
    let mut session = connect(admin, timing, end).await.map_err(Unseen::Error)?;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Unseen::Late(DEADLINE));
        }
        let seen = session.statement(READ, &[cluster], left).await;
        match seen.map(|records| beat(&records)) {
            Ok(Some(beat)) if beat >= written => return Ok(Instant::now()),
            Ok(_) => sleep(EACH).await,
            Err(_) if end <= Instant::now() => return Err(Unseen::Late(DEADLINE)),
            Err(error) => return Err(Unseen::Error(error.to_string())),
        }
    }
}

fn beat(records: &crate::pg::records::Records) -> Option<u64> {
    records.iter().next()?.number("beat").ok()?
}
