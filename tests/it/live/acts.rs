//! What the steps of a runbook see and do, on real servers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgvigil::cluster::assess::Verdict;
use pgvigil::cluster::layout::{Layout, Member, Timing};
use pgvigil::config::{Dsn, Secret};
use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, StandbyOptions, Wire, WireMode, Writer, wait_until};
use pgvigil::observe::Beside;
use pgvigil::observe::fleet::{Fleet, Place, Plan};
use pgvigil::observe::keeper::Keeper;
use pgvigil::observe::{Hub, Source};
use pgvigil::pg::dsn::Target;
use pgvigil::pg::failure::{Cause, Failure};
use pgvigil::pg::lsn::Timeline;
use pgvigil::runbook::evidence::Evidence;
use pgvigil::runbook::step::look::look;
use pgvigil::runbook::step::node::Node;
use pgvigil::runbook::step::promote::{PromoteError, Promoted, probe_promoted, promote};
use pgvigil::runbook::step::repoint::{Outcome as Repoint, follows, repoint};
use pgvigil::runbook::step::statement;
use pgvigil::runbook::step::stream::Upstream;
use pgvigil::runbook::step::synchronous::{Synchronous, try_commit};
use pgvigil::runbook::step::verify::{Wanted, verify};

use super::watch::SOON;

type Outcome = Result<(), LabError>;

const ONE: Timeline = Timeline(1);
const TWO: Timeline = Timeline(2);
/// What answers does so within milliseconds; a busy machine may take longer.
const PROBE: Duration = Duration::from_secs(5);
const ONE_SECOND: Duration = Duration::from_secs(1);

fn member(server: &Server) -> Member {
    Member {
        name: server.name().to_owned(),
        slot: server.name().to_owned(),
        application_name: server.name().to_owned(),
        address: Some(format!("127.0.0.1:{}", server.port())),
        expected: true,
    }
}

/// Over the socket, where no password costs either side its time: a look is held to a deadline here.
fn source(server: &Server, role: Role) -> Source {
    let (dir, port) = (server.socket_dir(), server.port());
    let dsn = format!("host='{}' port={port} user={} dbname=postgres", dir.display(), role.name());
    Arc::new(move |trail| {
        let target = Target::parse(&dsn, &|_| None, trail).map_err(|e| Failure::new(Cause::Config, &e.to_string()))?;
        let tls = target.connector(trail).map_err(|e| Failure::new(Cause::Tls, &e.to_string()))?;
        Ok((target, tls))
    })
}

fn node(server: &Server) -> Node {
    let admin = source(server, Role::Superuser);
    Node::new(member(server), Some(admin), source(server, Role::Monitor), Some(server.data_dir().to_owned()))
}

/// Where the promoted server is, as its siblings reach it.
fn upstream(server: &Server, promoted: &Promoted) -> Upstream {
    Upstream { host: "127.0.0.1".to_owned(), port: server.port(), timeline: promoted.timeline, fork: promoted.fork }
}

/// A primary, and standbys of it with a slot each.
async fn cluster(lab: &Lab, names: [&str; 2], more: &ServerOptions) -> Result<[Server; 3], LabError> {
    let a = lab.primary("a", more.clone()).await?;
    let mut standbys = Vec::new();
    for name in names {
        let options = StandbyOptions { slot: Some(name.to_owned()), server: more.clone(), ..Default::default() };
        standbys.push(lab.standby_of(&a, name, options).await?);
        a.wait_streaming(name, SOON).await?;
    }
    let [b, c]: [Server; 2] = standbys.try_into().ok().expect("two standbys");
    Ok([a, b, c])
}

/// Observes the servers in this process.
async fn observe(lab: &Lab, servers: &[&Server]) -> (Fleet, Arc<Hub>) {
    let second = Duration::from_secs(1);
    let timing = Timing {
        sample_interval: Duration::from_millis(250),
        collect_interval: second,
        login_interval: 60 * second,
        connect_timeout: 2 * second,
        query_timeout: 2 * second,
        archive_hung_after: second,
    };
    let members = servers.iter().map(|server| member(server)).collect();
    let place = Place { dsn: Dsn::Inline(Secret::new("")), pooled: false, beside: Beside::default() };
    let places = servers.iter().map(|server| (place.clone(), source(server, Role::Monitor))).collect();
    let layout = Layout { name: "lab".to_owned(), members, observers: Vec::new(), manager: None, timing };
    let fleet = Fleet::new(Arc::new(Keeper::new(lab.path().join("state"), true)), 8);
    fleet
        .apply(vec![Plan { layout, places, archive_dir: None, write_probe: None, backup: None, clients: Vec::new() }])
        .await;
    let hub = fleet.hubs().now()[0].clone();
    (fleet, hub)
}

async fn until(what: &str, nodes: &[Node], hub: &Hub, so: impl Fn(&Evidence) -> bool) -> Evidence {
    wait_until(what, SOON, async || {
        let seen = look(nodes, hub, PROBE).await;
        if so(&seen) { Ok(seen) } else { Err(format!("{seen:#?}")) }
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_look_sees_what_is_so_and_no_node_delays_it() -> Outcome {
    let lab = Lab::new()?;
    let [a, b, c] = cluster(&lab, ["b", "c"], &ServerOptions::default()).await?;
    let (_fleet, hub) = observe(&lab, &[&a, &b, &c]).await;
    let nodes = [&a, &b, &c].map(node);
    let writer = Writer::start(&a, 100).await?;
    let seen = until("a moving primary", &nodes, &hub, |seen| {
        seen.primary.as_ref().is_some_and(|primary| primary.was_moving && primary.wal_sender_timeout.is_some())
            && !seen.blind
            && seen.primary.as_ref().is_some_and(|primary| primary.fed.as_ref().is_some_and(|fed| fed.len() == 2))
            && seen.servers().count() == 3
    })
    .await;
    let primary = seen.primary.clone().unwrap();
    assert_eq!((primary.node, primary.timeline, primary.stopping), (0, ONE, None));
    assert_eq!(primary.fed, Some(vec![1, 2]));
    assert!(primary.processes.unwrap() > 3, "{primary:?}");
    assert_eq!(seen.writers().map(|(number, _)| number).collect::<Vec<_>>(), [0]);
    let servers: Vec<_> = seen.servers().map(|(_, server)| server.clone()).collect();
    assert!(servers.iter().all(|server| server.timeline == ONE && server.version.major() == a.major()), "{servers:?}");
    assert_eq!(servers[0].system_identifier, primary.system_identifier.unwrap());
    for standby in &servers[1..] {
        let receiver = standby.receiver.as_ref().unwrap();
        assert!(receiver.streams && receiver.silent.unwrap() < Duration::from_secs(5), "{receiver:?}");
        assert_eq!(receiver.sender, Some(("127.0.0.1".to_owned(), a.port())));
        assert!(standby.position >= standby.replayed.unwrap() && !standby.replay_paused, "{standby:?}");
    }

    c.pause_replay().await?;
    until("a paused replay", &nodes, &hub, |seen| {
        let paused: Vec<_> = seen.servers().map(|(_, server)| server.replay_paused).collect();
        paused == [false, false, true]
    })
    .await;

    a.freeze()?;
    let began = Instant::now();
    let short = Duration::from_millis(1500);
    let seen = look(&nodes, &hub, short).await;
    assert!(began.elapsed() < 3 * short, "{:?}", began.elapsed());
    assert_eq!(seen.primary_look().unwrap().probe.as_ref().unwrap_err().cause, Cause::Timeout);
    assert!(seen.primary.as_ref().unwrap().processes.unwrap() > 3, "frozen is not gone");
    assert!(seen.standbys().all(|(_, look)| look.probe.as_ref().unwrap().receiver.as_ref().unwrap().streams));
    a.thaw()?;

    drop(writer);
    a.kill();
    let seen = until("receivers to go", &nodes, &hub, |seen| {
        seen.standbys().all(|(_, look)| look.probe.as_ref().is_ok_and(|server| server.receiver.is_none()))
    })
    .await;
    assert_eq!(seen.primary_look().unwrap().probe.as_ref().unwrap_err().cause, Cause::Refused);
    let primary = seen.primary.unwrap();
    assert_eq!((primary.node, primary.processes, primary.stopping), (0, Some(0), None));
    assert!(seen.nodes.iter().skip(1).all(|look| look.probe.as_ref().unwrap().timeline == ONE));
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_promotion_is_asked_for_again_and_proven_by_a_commit() -> Outcome {
    let lab = Lab::new()?;
    // Nobody of this name ever comes: every commit that waits would wait for ever.
    let options =
        ServerOptions::default().set("wal_retrieve_retry_interval", "5s").set("synchronous_standby_names", "nobody");
    let [a, b, c] = cluster(&lab, ["b", "c"], &options).await?;
    let (a_node, b_node, c_node) = (node(&a), node(&b), node(&c));
    assert_eq!(probe_promoted(&b_node, ONE, PROBE).await.0, Verdict::No);
    let refused = promote(&a_node, ONE, "run", SOON).await;
    assert!(matches!(refused, Err(PromoteError::Writes { timeline: ONE, .. })), "{refused:?}");

    // Its receiver is dying at this moment.
    a.kill();
    let promoted = promote(&b_node, ONE, "run", SOON).await.unwrap_or_else(|error| panic!("{error}"));
    println!("{promoted}");
    assert_eq!((promoted.timeline, promoted.fork.is_some()), (TWO, true), "{promoted:?}");
    assert!(promoted.asked >= 1 && promoted.took < Duration::from_millis(4500), "{promoted}");
    assert!(promoted.canary.as_ref().is_ok_and(|took| *took < Duration::from_secs(4)), "{promoted}");
    assert_eq!(b.value("SELECT pg_is_in_recovery()").await?.as_deref(), Some("f"));

    let again = promote(&b_node, ONE, "run", SOON).await.unwrap();
    assert_eq!((again.asked, again.timeline, again.fork), (0, TWO, promoted.fork), "{again}");
    assert_eq!(probe_promoted(&b_node, ONE, PROBE).await.0, Verdict::Yes);
    assert_eq!(probe_promoted(&b_node, TWO, PROBE).await.0, Verdict::No, "no promotion after timeline 2");
    assert_eq!(probe_promoted(&c_node, ONE, PROBE).await.0, Verdict::No);
    assert_eq!(probe_promoted(&a_node, ONE, PROBE).await.0, Verdict::Unknown);

    let began = Instant::now();
    let tried = try_commit(&b_node, "run", Duration::from_millis(700)).await;
    assert!(matches!(&tried, Synchronous::Degraded(why) if why.contains("nobody")), "{tried:?}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    assert_eq!(b.value(waiting).await?.as_deref(), Some("0"), "what was cancelled waits no more");

    // A statement of a person's, on one that answers and one that does not.
    let rows = statement::run(&[&b_node, &a_node], "SELECT n, NULL AS x FROM generate_series(1, 30) n", PROBE).await;
    let table = rows[0].1.as_ref().unwrap();
    assert_eq!((table.total, table.rows.len(), &table.columns[..]), (30, 20, &["n".to_owned(), "x".to_owned()][..]));
    assert_eq!(table.rows[1], [Some("2".to_owned()), None]);
    assert!(rows[1].1.as_ref().unwrap_err().is_harmless(), "{rows:?}");
    let late = &statement::run(&[&b_node], "CREATE TABLE t()", ONE_SECOND).await[0];
    assert!(!late.1.as_ref().unwrap_err().is_harmless(), "{late:?}");
    let stands = b.value("SELECT to_regclass('public.t')::text").await?;
    assert_eq!(stands.as_deref(), Some("t"), "its commit was not confirmed, and it stands");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_standby_is_repointed_and_its_password_is_in_no_log() -> Outcome {
    let lab = Lab::new()?;
    let loud = ServerOptions::default()
        .set("log_statement", "all")
        .set("log_duration", "on")
        .set("log_min_duration_statement", "0")
        .set("log_min_error_statement", "debug5");
    let [a, b, c] = cluster(&lab, ["b", "c"], &loud).await?;
    let nodes = [&a, &b, &c].map(node);
    let [_, b_node, c_node] = &nodes;
    let password = Role::Replicator.password();
    let conninfo = format!(
        "user=replicator password='{password}' host=127.0.0.1 hostaddr=127.0.0.1 port={} application_name=c connect_timeout=7",
        a.port()
    );
    c.configure(&[("primary_conninfo", &conninfo)]);
    c.reload().await?;
    assert!(c.log().contains(password), "this is what is to be kept from happening: a reload logs what it changes");
    a.wait_streaming("c", SOON).await?;

    a.kill();
    let promoted = promote(b_node, ONE, "run", SOON).await.unwrap_or_else(|error| panic!("{error}"));
    let to = upstream(&b, &promoted);
    assert_eq!(follows(c_node, b_node, &to, PROBE).await.0, Verdict::No);
    let levels = "SELECT setting FROM pg_file_settings WHERE name = 'log_min_messages'";
    let level = c.value(levels).await?;
    let before = c.log().len();
    let repointed = repoint(&[c_node], b_node, &to, Duration::from_secs(10)).await;
    println!("{}", repointed[0]);
    assert!(matches!(repointed[0].outcome, Repoint::Streams { changed: true, .. }), "{}", repointed[0]);
    assert_eq!((repointed[0].left.as_ref(), c.value(levels).await?), (None, level), "the log is as it was");
    let log = c.log()[before..].to_owned();
    assert!(log.contains("set_config"), "its statements are logged: {log}");
    assert!(!log.contains(password), "{log}");
    assert!(!b.log().contains(password));

    let now = c.value("SHOW primary_conninfo").await?.unwrap();
    let kept = format!("user='replicator' password='{password}' application_name='c' connect_timeout='7'");
    assert_eq!(now, format!("host='127.0.0.1' port='{}' {kept}", b.port()));
    assert_eq!(follows(c_node, b_node, &to, PROBE).await.0, Verdict::Yes);
    let again = repoint(&[c_node], b_node, &to, SOON).await;
    assert!(matches!(again[0].outcome, Repoint::Streams { changed: false, .. }), "{}", again[0]);

    b.alter(&[("synchronous_standby_names", "c")]).await?;
    let confirmed = try_commit(b_node, "run", SOON).await;
    assert!(matches!(confirmed, Synchronous::Confirmed(_)), "{confirmed:?}");

    let mut wanted = Wanted {
        primary: "b",
        timeline: TWO,
        without: BTreeSet::from(["a"]),
        gone: None,
        one_writable: true,
        streaming_within: Some(Duration::from_secs(5)),
    };
    let (verdict, why) = verify(&nodes, &wanted).await;
    assert_eq!(verdict, Verdict::Yes, "{why}");
    wanted.streaming_within = None;
    a.start().await?;
    let (verdict, why) = verify(&nodes, &wanted).await;
    assert_eq!((verdict, why.as_str()), (Verdict::No, "a writes too, timeline 1"));
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_standby_that_diverged_is_told_and_holds_nobody_up() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let wire = Wire::to(a.port()).await?;
    let through = StandbyOptions { through_port: Some(wire.port()), ..Default::default() };
    let b = lab.standby_of(&a, "b", through).await?;
    let c = lab.standby_of(&a, "c", StandbyOptions::default()).await?;
    let (b_node, c_node) = (&node(&b), &node(&c));
    for name in ["b", "c"] {
        a.wait_streaming(name, SOON).await?;
    }
    wire.set(WireMode::BlackHoleReplies).await?;
    a.sql("SELECT pg_logical_emit_message(true, 'lab', repeat('x', 10000))").await?;
    c.wait_caught_up(&a, SOON).await?;
    a.kill();
    let promoted = promote(b_node, ONE, "run", SOON).await.unwrap_or_else(|error| panic!("{error}"));
    let to = upstream(&b, &promoted);
    let repointed = repoint(&[c_node], b_node, &to, Duration::from_secs(2)).await;
    println!("{}", repointed[0]);
    assert!(matches!(&repointed[0].outcome, Repoint::Diverged(why) if why.contains("beyond")), "{}", repointed[0]);
    assert_eq!(follows(c_node, b_node, &to, PROBE).await.0, Verdict::No);
    lab.stop().await;
    Ok(())
}
