//! Synchronous replication: what we make of the setting and of the standbys, against what real servers do.

use pgvigil::clock::Moment;
use pgvigil::cluster::sync::{Quorum, SyncState, is_candidate};
use pgvigil::cluster::sync_names::{Method, SyncNames};
use pgvigil::collector::COLLECTORS;
use pgvigil::collector::snapshot::{Exchange, Snapshot};
use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, StandbyOptions, wait_until};
use pgvigil::pg::records::Records;
use pgvigil::pg::version::ServerVersion;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::record::feed_a_subscription;
use super::watch::{Node, Page, SOON, Vigil};

type Outcome = Result<(), LabError>;

/// Longer than a commit takes that nothing holds.
const HELD: &str = "250ms";

/// A commit that waits for synchronous standbys, in a session of its own.
fn commit(server: &Server, more: &str) -> JoinHandle<Result<(), LabError>> {
    let (server, sql) = (server.clone(), format!("SELECT {more} pg_logical_emit_message(true, 'lab', 'commit')"));
    tokio::spawn(async move { server.sql(&sql).await })
}

/// Waits until a commit has been held for a while.
async fn wait_held(a: &Server) -> Outcome {
    let sql = format!(
        "SELECT bool_or(clock_timestamp() - query_start > '{HELD}') FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    );
    wait_until("a commit to hang", SOON, async || match a.value(&sql).await? {
        Some(yes) if yes == "t" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
}

/// Lets those that wait go on without their standbys.
async fn let_go(a: &Server, commit: JoinHandle<Result<(), LabError>>) -> Outcome {
    a.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").await?;
    commit.await.expect("the commit ends")
}

/// What pgvigil reads.
async fn read(client: &Client, version: ServerVersion, snapshot: &mut Snapshot) {
    for collector in COLLECTORS.iter().filter(|collector| ["sync", "walsenders"].contains(&collector.name())) {
        let sent = Moment::now();
        let statement = client.prepare(collector.sql().pick(version).unwrap()).await.unwrap();
        let columns: Vec<_> = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        let rows = client.query(&statement, &[]).await.unwrap();
        let cells = rows.iter().map(|row| (0..row.len()).map(|cell| row.get(cell)).collect()).collect();
        let exchange = Exchange { sent, received: Moment::now() };
        collector.store(&Records::new(columns.into(), cells), snapshot, exchange).unwrap();
    }
}

/// `sync_priority` and `sync_state` of each walsender, in order.
type Ranks = Vec<(usize, String)>;

/// As the server has them.
async fn ranks(a: &Server) -> Result<Ranks, LabError> {
    let rows = a.query("SELECT sync_priority, sync_state FROM pg_stat_replication ORDER BY 1, 2").await?;
    let mut ranks: Ranks = rows.into_iter().map(|row| (number(&row[0]), row[1].clone().unwrap())).collect();
    ranks.sort();
    Ok(ranks)
}

fn number(cell: &Option<String>) -> usize {
    cell.as_deref().unwrap().parse().unwrap()
}

/// As they follow from our reading of the setting.
fn expected_ranks(snapshot: &Snapshot) -> Ranks {
    let walsenders = &snapshot.walsenders.as_ref().unwrap().value;
    let Some(names) = SyncNames::parse(&snapshot.sync.as_ref().unwrap().value.standby_names).unwrap() else {
        return vec![(0, "async".to_owned()); walsenders.len()];
    };
    let place = |name: &str| match (names.method, names.place(name)) {
        (Method::Any, Some(_)) => 1,
        (_, place) => place.unwrap_or(0),
    };
    let (candidates, others): (Vec<_>, Vec<_>) =
        walsenders.iter().partition(|walsender| is_candidate(&names, walsender));
    let mut ranks: Ranks =
        candidates.iter().map(|walsender| (place(&walsender.application_name), String::new())).collect();
    ranks.sort();
    for (index, (_, state)) in ranks.iter_mut().enumerate() {
        let chosen = index < names.required as usize;
        let word = if names.method == Method::Any {
            "quorum"
        } else if chosen {
            "sync"
        } else {
            "potential"
        };
        *state = word.to_owned();
    }
    ranks.extend(others.iter().map(|_| (0, "async".to_owned())));
    ranks.sort();
    ranks
}

/// Holds our reading of the present setting against the server's, once it has taken it up.
async fn check_ranks(a: &Server, client: &Client, names: &str) -> Result<Snapshot, LabError> {
    let version = ServerVersion(a.major() * 10_000);
    wait_until(format!("{names:?} to mean the same to both"), SOON, async || {
        let mut snapshot = Snapshot::default();
        read(client, version, &mut snapshot).await;
        assert_eq!(snapshot.sync.as_ref().unwrap().value.standby_names, names);
        let (ours, theirs) = (expected_ranks(&snapshot), ranks(a).await?);
        if ours == theirs { Ok(snapshot) } else { Err(format!("ours {ours:?}, the server's {theirs:?}")) }
    })
    .await
}

#[tokio::test]
async fn what_we_make_of_the_names_is_what_the_server_makes_of_them() -> Outcome {
    use SyncState::{Off, Satisfied, Unsatisfied};
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().set("wal_level", "logical")).await?;
    let paris = StandbyOptions { application_name: Some("Paris-2".to_owned()), ..Default::default() };
    let _b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let _c = lab.standby_of(&a, "c", paris).await?;
    a.wait_streaming("b", SOON).await?;
    a.wait_streaming("Paris-2", SOON).await?;
    let client = a.connect_as(Role::Monitor).await?;
    let version = ServerVersion(a.major() * 10_000);

    // A standby of 13 that just connected says nothing while the primary is idle; a commit does not hang for it.
    let both = "2 (b, \"Paris-2\")";
    a.alter(&[("synchronous_standby_names", both)]).await?;
    let snapshot = check_ranks(&a, &client, both).await?;
    let quorum = Quorum::of(both, &snapshot.walsenders.as_ref().unwrap().value);
    assert_ne!(quorum.state, Unsatisfied, "{quorum:?}");
    commit(&a, "").await.expect("the commit ends")?;

    for (names, state, spare) in [
        ("FIRST 1 (b, \"Paris-2\")", Satisfied, Some(1)),
        ("FIRST 2 (b, \"Paris-2\")", Satisfied, Some(0)),
        ("ANY 1 (b, \"Paris-2\")", Satisfied, Some(1)),
        ("any 2(\"Paris-2\",b)", Satisfied, Some(0)),
        ("\"pARIS-2\", B", Satisfied, Some(1)),
        ("b", Satisfied, Some(0)),
        ("nobody", Unsatisfied, Some(-1)),
        ("*", Satisfied, Some(1)),
        ("\"*\"", Satisfied, Some(1)),
        ("2 (*)", Satisfied, Some(0)),
        ("ANY 3 (*)", Unsatisfied, Some(-1)),
        ("", Off, None),
        ("FIRST 2 (b, nobody)", Unsatisfied, Some(-1)),
        ("b, b", Satisfied, Some(0)),
        ("FIRST 2 (b, b)", Unsatisfied, Some(-1)),
        ("nobody, *, b", Satisfied, Some(1)),
        ("ANY 4294967297 (nobody, b)", Satisfied, Some(0)),
        ("2, \"b\"", Satisfied, Some(0)),
        ("\"b \", \"Paris-2\"\"\", \"\", any_", Unsatisfied, Some(-1)),
    ] {
        a.alter(&[("synchronous_standby_names", names)]).await?;
        let mut snapshot = check_ranks(&a, &client, names).await?;
        let quorum = Quorum::of(names, &snapshot.walsenders.as_ref().unwrap().value);
        assert_eq!((quorum.state, quorum.spare), (state, spare), "{names:?}: {quorum:?}");

        // The verdict is about commits.
        let commit = commit(&a, "");
        if state == Unsatisfied {
            wait_held(&a).await?;
            read(&client, version, &mut snapshot).await;
            let sync = &snapshot.sync.as_ref().unwrap().value;
            assert_eq!(sync.waiters.len(), 1, "{names:?}");
            assert!((0.25..10.0).contains(&sync.longest_wait()), "{names:?}: {sync:?}");
            let_go(&a, commit).await?;
        } else {
            commit.await.expect("the commit ends")?;
        }
        check_ranks(&a, &client, names).await?;
    }

    // For the server a subscription is as good as a standby.
    a.alter(&[("synchronous_standby_names", "")]).await?;
    feed_a_subscription(&a).await?;
    a.alter(&[("synchronous_standby_names", "FIRST 2 (ORDERS_FEED, b)")]).await?;
    let snapshot = check_ranks(&a, &client, "FIRST 2 (ORDERS_FEED, b)").await?;
    let quorum = Quorum::of("FIRST 2 (ORDERS_FEED, b)", &snapshot.walsenders.unwrap().value);
    assert_eq!((quorum.state, quorum.spare), (Satisfied, Some(0)), "{quorum:?}");
    lab.stop().await;
    Ok(())
}

/// Texts that are right, and pieces that spoil them; the same ones each time.
fn texts() -> Vec<String> {
    const GOOD: [&str; 8] =
        ["b", "b, \"c\"", "2 (b, c)", "FIRST 1 (b)", "ANY 2 (b,*, \"d\"\"\")", "first 3(*)", "1,2", "_x$9 , é"];
    const PIECES: [&str; 22] = [
        "ANY",
        " first ",
        "1",
        "0",
        "-",
        "007",
        "2147483648",
        "4294967296",
        "4294967297",
        "99999999999999999999",
        "(",
        ")",
        ",",
        "\"",
        "\"\"",
        "*",
        " ",
        "\t",
        "b",
        "é",
        "$",
        "'",
    ];
    let mut seed = 20_u64;
    let mut below = |end: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % end
    };
    let mut texts: Vec<String> = ["", " ", "ANY", "first", "\"\""].map(str::to_owned).to_vec();
    texts.extend(GOOD.map(str::to_owned));
    for _ in 0..250 {
        let mut text: Vec<char> = GOOD[below(GOOD.len())].chars().collect();
        for _ in 0..=below(3) {
            let from = below(text.len() + 1);
            let until = from + below(text.len() - from + 1).min(1);
            text.splice(from..until, PIECES[below(PIECES.len())].chars());
        }
        texts.push(text.into_iter().collect());
    }
    texts
}

#[tokio::test]
async fn names_that_the_server_refuses_are_refused() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let client = a.connect().await?;
    let mut counts = [0; 2];
    for text in texts() {
        let sql = format!("ALTER SYSTEM SET synchronous_standby_names = '{}'", text.replace('\'', "''"));
        let accepted = client.batch_execute(&sql).await;
        let ours = SyncNames::parse(&text);
        assert_eq!(ours.is_ok(), accepted.is_ok(), "{text:?}: ours {ours:?}, the server's {accepted:?}");
        counts[usize::from(ours.is_ok())] += 1;
    }
    assert!(counts.iter().all(|count| *count > 40), "{counts:?}");
    lab.stop().await;
    Ok(())
}

fn quorum(page: &Page, node: &str) -> (String, Option<f64>) {
    (page.one_of("sync_quorum", &format!("node=\"{node}\"")), page.of_node("sync_standbys_spare", node))
}

async fn until_quorum(vigil: &Vigil, node: &str, state: &str, spare: Option<f64>) {
    vigil
        .until(&format!("the quorum of {node} {state}, spare {spare:?}"), |page| {
            if page.matching(&["sync_quorum", &format!("node=\"{node}\"")]).is_empty() {
                return Err("no verdict".to_owned());
            }
            let seen = quorum(page, node);
            if seen == (state.to_owned(), spare) { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
}

/// Waiting backends, and the longest wait.
async fn until_waiting(vigil: &Vigil, count: f64) -> f64 {
    vigil
        .until(&format!("{count} to wait"), |page| {
            let seen = (page.of_node("sync_waiting_backends", "a"), page.of_node("sync_longest_wait_seconds", "a"));
            match seen {
                (Some(waiting), Some(longest)) if waiting == count => Ok(longest),
                seen => Err(format!("{seen:?}")),
            }
        })
        .await
}

#[tokio::test]
async fn the_page_follows_the_standbys_and_counts_who_waits() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    // A standby that starts again speaks soon.
    let server = ServerOptions::default().set("wal_receiver_status_interval", "1s");
    let standby = || StandbyOptions { server: server.clone(), ..Default::default() };
    let b = lab.standby_of(&a, "b", standby()).await?;
    let c = lab.standby_of(&a, "c", standby()).await?;
    a.wait_streaming("b", SOON).await?;
    a.wait_streaming("c", SOON).await?;
    a.alter(&[("synchronous_standby_names", "ANY 1 (b, c)")]).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b), Node::of(&c)]).await?;
    vigil.until_healthy(&["a", "b", "c"], &[]).await;
    until_quorum(&vigil, "a", "satisfied", Some(1.0)).await;
    assert_eq!(until_waiting(&vigil, 0.0).await, 0.0);
    let page = vigil.page().await;
    assert!(page.matching(&["pgvigil_sync_", "node=\"b\""]).iter().all(|(series, _)| series.contains("collector")));

    c.kill();
    until_quorum(&vigil, "a", "satisfied", Some(0.0)).await;
    commit(&a, "").await.expect("one is enough")?;
    b.kill();
    until_quorum(&vigil, "a", "unsatisfied", Some(-1.0)).await;

    // A statement that takes its time has not waited all that time.
    let held = commit(&a, "pg_sleep(3),");
    let longest = until_waiting(&vigil, 1.0).await;
    assert!(longest < 3.0, "it has waited for {longest} s, as if it had waited before its commit");
    // The wait grows, by the server's clock as by ours.
    let waited = |page: &Page| page.of_node("sync_longest_wait_seconds", "a").unwrap_or(0.0);
    let grown = vigil
        .until("the wait to grow", |page| {
            if waited(page) >= longest + 1.0 { Ok(waited(page)) } else { Err(format!("{}", waited(page))) }
        })
        .await;
    let truth = "SELECT extract(epoch FROM clock_timestamp() - query_start) - 3 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let truth: f64 = a.value(truth).await?.unwrap().parse().unwrap();
    // A reading is a second apart from the next, and more on a loaded machine.
    assert!((truth - 2.5..truth + 2.5).contains(&grown), "pgvigil says {grown} s, truth is {truth} s");

    b.start().await?;
    until_quorum(&vigil, "a", "satisfied", Some(0.0)).await;
    held.await.expect("the commit ends")?;
    assert_eq!(until_waiting(&vigil, 0.0).await, 0.0);
    a.alter(&[("synchronous_standby_names", "")]).await?;
    until_quorum(&vigil, "a", "off", None).await;

    a.kill();
    until_quorum(&vigil, "a", "unknown", None).await;
    assert_eq!(vigil.page().await.of_node("sync_waiting_backends", "a"), None);
    b.promote().await?;
    until_quorum(&vigil, "b", "off", None).await;
    assert!(vigil.page().await.matching(&["sync_quorum", "node=\"a\""]).is_empty(), "a is the primary no more");
    lab.stop().await;
    Ok(())
}
