//! Settings, and what they amount to, against what real servers do: drift, restarts that are due, and a standby that must stop.

use std::collections::BTreeMap;

use pgvigil::clock::Moment;
use pgvigil::collector::COLLECTORS;
use pgvigil::collector::setting_list::KNOWN;
use pgvigil::collector::settings::{Settings, Value};
use pgvigil::collector::snapshot::{Exchange, Snapshot};
use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, StandbyOptions};
use pgvigil::pg::records::Records;
use pgvigil::pg::version::ServerVersion;
use tokio_postgres::Client;

use super::watch::{INTERVAL, Node, Page, SOON, Vigil};

type Outcome = Result<(), LabError>;

/// What pgvigil reads.
async fn read(server: &Server, client: &Client) -> Settings {
    let collector = COLLECTORS.iter().find(|collector| collector.name() == "settings").unwrap();
    let sql = collector.sql().pick(ServerVersion(server.major() * 10_000)).unwrap();
    let statement = client.prepare(sql).await.unwrap();
    let columns: Vec<_> = statement.columns().iter().map(|column| column.name().to_owned()).collect();
    let rows = client.query(&statement, &[]).await.unwrap();
    let cells = rows.iter().map(|row| (0..row.len()).map(|cell| row.get(cell)).collect()).collect();
    let (mut snapshot, now) = (Snapshot::default(), Moment::now());
    let exchange = Exchange { sent: now, received: now };
    collector.store(&Records::new(columns.into(), cells), &mut snapshot, exchange).unwrap();
    snapshot.settings.unwrap().value
}

/// The series of a family about one node, by the setting's name.
fn by_name(page: &Page, family: &str, node: &str) -> BTreeMap<String, f64> {
    let head = format!("pgvigil_{family}{{cluster=\"lab\",node=\"{node}\",name=\"");
    let series = page.matching(&[&head]).into_iter();
    series.map(|(series, value)| (series[head.len()..].split('"').next().unwrap().to_owned(), value)).collect()
}

/// The names of those that are 1.
fn set(page: &Page, family: &str, node: &str) -> Vec<String> {
    by_name(page, family, node).into_iter().filter(|(_, value)| *value == 1.0).map(|(name, _)| name).collect()
}

/// Waits until these settings of the node are 1, and no other.
async fn until_set(vigil: &Vigil, family: &str, node: &str, names: &[&str]) {
    vigil
        .until(&format!("{family} of {node}: {names:?}"), |page| {
            if by_name(page, family, node).is_empty() {
                return Err("no series".to_owned());
            }
            let seen = set(page, family, node);
            if seen == names { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
}

async fn until_blocked(vigil: &Vigil, state: &str) {
    vigil
        .until(&format!("replay of b blocked: {state}"), |page| {
            let seen = page.one_of("replay_blocked_by_settings", "node=\"b\"");
            if seen == state { Ok(()) } else { Err(seen) }
        })
        .await;
}

#[tokio::test]
async fn every_setting_is_read_as_the_server_shows_it_in_any_unit() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let client = a.connect_as(Role::Monitor).await?;
    let settings = read(&a, &client).await;
    // The server's own arithmetic, over the text that it shows to people.
    let names = KNOWN.iter().map(|known| known.name).collect::<Vec<_>>().join("', '");
    let sql = format!(
        "SELECT name, CASE WHEN setting::text IN ('on', 'off') AND vartype = 'bool' AND name <> 'wal_compression' THEN (setting::bool::int)::text
                           WHEN vartype IN ('enum', 'string') THEN setting
                           WHEN unit IS NULL OR setting::numeric < 0 THEN setting
                           WHEN unit IN ('ms', 's', 'min') THEN extract(epoch FROM (setting || unit)::interval)::float8::text
                           ELSE (pg_size_bytes(CASE unit WHEN '8kB' THEN '8 kB' WHEN 'B' THEN '1' ELSE '1 ' || unit END) * setting::int8)::text
                      END
           FROM pg_settings WHERE name IN ('{names}')"
    );
    let mut told = 0;
    for row in a.query_on(&client, &sql).await? {
        let [name, truth] = [0, 1].map(|cell| row[cell].clone().unwrap());
        let seen = settings.known.get(name.as_str()).unwrap_or_else(|| panic!("no {name}")).value;
        match seen {
            Value::Number(number) => assert_eq!(Ok(number), truth.parse(), "{name}"),
            Value::Word(word) => assert_eq!(word, truth, "{name}"),
        }
        told += 1;
    }
    assert_eq!(settings.known.len(), told, "nothing else");
    let newer = [(13, 37), (17, 40), (18, 41)];
    let least = newer.iter().rev().find(|(major, _)| a.major() >= *major).map(|(_, least)| *least);
    assert_eq!(Some(told), least, "{:?}", settings.known.keys());

    for (text, seconds) in [
        ("0", 0.0),
        ("1ms", 0.001),
        ("1500", 1.5),
        ("10s", 10.0),
        ("90s", 90.0),
        ("1min", 60.0),
        ("25h", 90_000.0),
        ("7d", 604_800.0),
        ("2147483647", 2_147_483.647),
    ] {
        client.batch_execute(&format!("SET wal_sender_timeout = '{text}'")).await.unwrap();
        assert_eq!(read(&a, &client).await.wal_sender_timeout, seconds, "{text}");
    }
    for (text, bytes) in
        [("64kB", 65_536.0), ("1MB", 1_048_576.0), ("1234kB", 1_263_616.0), ("2047GB", 2_197_949_513_728.0)]
    {
        client.batch_execute(&format!("SET logical_decoding_work_mem = '{text}'")).await.unwrap();
        let seen = read(&a, &client).await.known["logical_decoding_work_mem"].value;
        assert_eq!(seen, Value::Number(bytes), "{text}");
    }
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn drift_and_restarts_that_are_due_come_and_go() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    until_set(&vigil, "setting_drift", "b", &[]).await;
    let page = vigil.page().await;
    assert!(by_name(&page, "setting_drift", "a").is_empty(), "the primary is the measure");
    assert_eq!(by_name(&page, "standby_setting_too_low", "b").len(), 5);
    assert_eq!(page.of_node("settings_pending_restart", "b"), Some(0.0));

    // One of each family, and one that may differ.
    b.alter(&[
        ("wal_sender_timeout", "17s"),
        ("max_wal_size", "48MB"),
        ("checkpoint_completion_target", "0.3"),
        ("synchronous_commit", "local"),
        ("hot_standby_feedback", "on"),
    ])
    .await?;
    let differ = ["checkpoint_completion_target", "max_wal_size", "synchronous_commit", "wal_sender_timeout"];
    until_set(&vigil, "setting_drift", "b", &differ).await;
    let page = vigil.page().await;
    let of_b = |family: &str, name: &str| page.get(family, &format!("node=\"b\",name=\"{name}\""));
    assert_eq!(of_b("setting_seconds", "wal_sender_timeout"), Some(17.0));
    assert_eq!(of_b("setting_bytes", "max_wal_size"), Some(48.0 * 1_048_576.0));
    assert_eq!(of_b("setting_value", "checkpoint_completion_target"), Some(0.3));
    assert_eq!(page.one_of("setting_state", "node=\"b\",name=\"synchronous_commit\""), "local");
    a.alter(&[
        ("wal_sender_timeout", "17s"),
        ("max_wal_size", "48MB"),
        ("checkpoint_completion_target", "0.3"),
        ("synchronous_commit", "local"),
    ])
    .await?;
    until_set(&vigil, "setting_drift", "b", &[]).await;

    // What awaits a restart does not hold yet.
    b.alter(&[("max_connections", "60"), ("port", "1"), ("track_commit_timestamp", "on")]).await?;
    until_set(&vigil, "setting_pending_restart", "b", &["max_connections", "track_commit_timestamp"]).await;
    let page = vigil.page().await;
    assert_eq!(page.of_node("settings_pending_restart", "b"), Some(3.0), "of all settings");
    assert_eq!((set(&page, "setting_drift", "b"), page.of_node("settings_pending_restart", "a")), (vec![], Some(0.0)));
    assert!(!by_name(&page, "setting_pending_restart", "b").contains_key("max_wal_size"), "it needs no restart");
    b.sql("ALTER SYSTEM RESET port").await?;
    b.reload().await?;
    b.restart().await?;
    until_set(&vigil, "setting_pending_restart", "b", &[]).await;
    until_set(&vigil, "setting_drift", "b", &["max_connections", "track_commit_timestamp"]).await;
    assert!(set(&vigil.page().await, "standby_setting_too_low", "b").is_empty(), "higher is not too low");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_setting_too_low_is_told_before_it_stops_replay_and_what_stopped_is_told_from_a_pause() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    a.wait_streaming("b", SOON).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    until_set(&vigil, "standby_setting_too_low", "b", &[]).await;
    until_blocked(&vigil, "no").await;
    b.pause_replay().await?;
    vigil
        .until("a pause by a person", |page| match page.one_of("replay_state", "node=\"b\"").as_str() {
            "paused" | "pause_requested" => Ok(()),
            other => Err(other.to_owned()),
        })
        .await;
    until_blocked(&vigil, "no").await;

    // While it is paused the record of the change is not replayed: what is to come is told before.
    a.configure(&[("max_connections", "60")]);
    a.restart().await?;
    until_set(&vigil, "standby_setting_too_low", "b", &["max_connections"]).await;
    until_blocked(&vigil, "yes").await;
    let resumed = b.sql("SELECT pg_wal_replay_resume()").await;
    if b.major() < 14 {
        // It shuts down by itself, sometimes before it has answered.
        b.wait_stopped(SOON).await?;
        vigil.until_state("b", "unreachable").await;
        until_blocked(&vigil, "unknown").await;
        lab.stop().await;
        return Ok(());
    }
    resumed?;
    // It pauses again by itself, and looks as before.
    let log = "If recovery is unpaused, the server will shut down.";
    pgvigil::lab::wait_until(log, SOON, async || if b.log().contains(log) { Ok(()) } else { Err(b.log()) }).await?;
    assert_eq!(b.value("SELECT pg_get_wal_replay_pause_state()").await?.as_deref(), Some("paused"));
    let observed = |page: &Page| page.of_node("node_last_observation_timestamp_seconds", "b").unwrap_or_default();
    let resumed = observed(&vigil.page().await);
    vigil
        .until("b to be read twice", |page| match observed(page) - resumed {
            later if later > 1.5 * INTERVAL.as_secs_f64() => Ok(()),
            later => Err(format!("{later} s")),
        })
        .await;
    until_blocked(&vigil, "yes").await;
    assert_eq!(vigil.page().await.one_of("replay_state", "node=\"b\""), "paused");

    // The primary is lowered again, which does not help: a resume still shuts it down.
    a.configure(&[("max_connections", "40")]);
    a.restart().await?;
    until_set(&vigil, "standby_setting_too_low", "b", &[]).await;
    until_blocked(&vigil, "yes").await;
    a.kill();
    vigil.until_state("a", "unreachable").await;
    until_blocked(&vigil, "yes").await;
    // It ends at that, sometimes before it has answered.
    let _ = b.sql("SELECT pg_wal_replay_resume()").await;
    b.wait_stopped(SOON).await?;
    vigil.until_state("b", "unreachable").await;
    lab.stop().await;
    Ok(())
}
