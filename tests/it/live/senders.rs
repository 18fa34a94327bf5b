//! Who streams from whom, and who is no standby: against what the servers themselves show, and against what was done to them.

use std::time::Instant;

use pgvigil::lab::{Backend, Lab, LabError, Server, ServerOptions, Spawn, StandbyOptions, Wire, WireMode, wait_until};
use rustix::process::Signal;

use super::watch::{INTERVAL, Node, Page, SOON, Vigil};

/// What a loaded machine of two cores adds between a reading and its page.
const NOISE: f64 = 0.4;
const KINDS: [&str; 4] = ["standby", "wal_stream", "backup", "logical"];

fn kinds(page: &Page) -> [Option<f64>; 4] {
    KINDS.map(|kind| page.get("walsenders", &format!("node=\"a\",kind=\"{kind}\"")))
}

async fn until_kinds(vigil: &Vigil, expected: [f64; 4], judge: &dyn Fn(&Page)) -> Page {
    let what = format!("{KINDS:?} to be {expected:?}");
    vigil
        .until_within(&what, 2 * SOON, |page| {
            judge(page);
            let seen = kinds(page);
            if seen == expected.map(Some) { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
    vigil.page().await
}

/// The names of all standbys on the page, expected or not.
fn standbys(page: &Page) -> Vec<(String, f64)> {
    let name = |series: &str| series.split("standby=\"").nth(1).unwrap().trim_end_matches("\"}").to_owned();
    page.matching(&["standby_expected{"]).into_iter().map(|(series, value)| (name(series), value)).collect()
}

fn connected(page: &Page, standby: &str) -> Option<f64> {
    page.get("standby_connected", &format!("standby=\"{standby}\""))
}

/// One of PostgreSQL's client programs on server `a`, as the superuser.
fn client(lab: &Lab, a: &Server, name: &str, program: &str, args: &[&str]) -> Spawn {
    let spawn = Spawn::new(name, lab.binaries().dir().join(program)).arg("-h").arg(a.socket_dir());
    let spawn = spawn.arg("-p").arg(a.port().to_string()).arg("-U").arg("postgres");
    args.iter().fold(spawn, |spawn, arg| spawn.arg(*arg))
}

#[tokio::test]
async fn backups_and_receivers_of_wal_are_shown_and_never_counted() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { slot: Some("b".to_owned()), ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    a.sql("SELECT pg_create_physical_replication_slot('c', true)").await?;
    // It is yet to be made, by a backup that fills its slot.
    let c = Node::with("c", "host=127.0.0.1 port=1 user=nobody dbname=postgres", "");
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b), c]).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    let never_counted = |page: &Page| {
        assert_eq!(standbys(page), [("b".to_owned(), 1.0), ("c".to_owned(), 1.0)]);
        assert_eq!((connected(page, "b"), connected(page, "c")), (Some(1.0), Some(0.0)));
        for copier in ["pg_basebackup", "nightly", "standby=\"c\",state"] {
            let told = page.matching(&["pgvigil_walsender", copier]);
            assert!(told.is_empty(), "{told:?}");
        }
    };
    until_kinds(&vigil, [1.0, 0.0, 0.0, 0.0], &never_counted).await;
    let none = |page: &Page| match (page.of_node("base_backups", "a"), page.matching(&["base_backup_"]).len()) {
        (Some(0.0), 0) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    vigil.until("nothing in progress", none).await;

    // As fast as they go with the files of a small server, and slow enough to be seen.
    let slow = ["--max-rate=2M", "--checkpoint=fast", "--wal-method=stream", "--progress"];
    let receiver = client(&lab, &a, "receiver", "pg_receivewal", &["-D", "."]);
    let receiver = lab.spawn(receiver.env("PGAPPNAME", "nightly"))?;
    let first = lab.spawn(client(&lab, &a, "first", "pg_basebackup", &[&slow[..], &["-D", "made"]].concat()))?;
    let one = until_kinds(&vigil, [1.0, 2.0, 1.0, 0.0], &never_counted).await;
    assert_eq!(one.matching(&["name_conflict"]).iter().map(|(_, conflict)| conflict).sum::<f64>(), 0.0);
    let second =
        lab.spawn(client(&lab, &a, "second", "pg_basebackup", &[&slow[..], &["-D", "made", "-S", "c"]].concat()))?;
    until_kinds(&vigil, [1.0, 3.0, 2.0, 0.0], &never_counted).await;
    let slot_c = "SELECT active::text FROM pg_replication_slots WHERE slot_name = 'c'";
    assert_eq!(a.value(slot_c).await?.as_deref(), Some("true"), "the backup fills the slot of c");

    let progress =
        "SELECT sum(backup_streamed)::text, sum(backup_total)::text, count(*)::text FROM pg_stat_progress_basebackup";
    let truth = async || -> Result<Vec<f64>, LabError> {
        let row = a.query(progress).await?.remove(0);
        Ok(row.into_iter().map(|cell| cell.and_then(|cell| cell.parse().ok()).unwrap_or(f64::NAN)).collect())
    };
    let both = |page: &Page| match (page.of_node("base_backups", "a"), page.of_node("base_backup_streamed_bytes", "a"))
    {
        (Some(2.0), Some(streamed)) => Ok(streamed),
        other => Err(format!("{other:?}")),
    };
    let before = vigil.until("two backups on the page", both).await;
    let now = truth().await?;
    vigil
        .until("the backups to go on", |page| match both(page)? {
            now if now > before => Ok(()),
            now => Err(now.to_string()),
        })
        .await;
    let page = vigil.page().await;
    let later = truth().await?;
    assert!(now[0] >= before && before > 0.0, "{before} {now:?}");
    let streamed = page.of_node("base_backup_streamed_bytes", "a").unwrap();
    assert!(streamed > before && streamed <= later[0], "{before} {streamed} {later:?}");
    assert_eq!(page.of_node("base_backup_estimated_bytes", "a"), Some(later[1]));
    assert_eq!(page.one_of("base_backup_phase", "node=\"a\""), "streaming_files");
    assert_eq!(page.get("base_backup_tablespaces", "node=\"a\",stage=\"total\""), Some(2.0));

    for program in [&first, &second, &receiver] {
        assert_eq!(program.ended(), None, "{}", program.log());
        program.kill();
    }
    until_kinds(&vigil, [1.0, 0.0, 0.0, 0.0], &never_counted).await;
    vigil.until("no backup left", none).await;
    lab.stop().await;
    Ok(())
}

/// Asserts a value that should be `truth`, of which it may be short by what passed since the reading.
fn close(what: &str, value: Option<f64>, truth: f64) {
    let value = value.unwrap_or_else(|| panic!("no {what}"));
    let allowed = INTERVAL.as_secs_f64() + NOISE;
    assert!((value - truth).abs() <= allowed, "{what}: pgvigil says {value:.2}, truth is {truth:.2} (±{allowed:.2})");
}

/// As close to what was true at some moment from the first to the second look at it.
fn within(what: &str, value: Option<f64>, (before, after): (f64, f64)) {
    close(what, value, value.unwrap_or_default().clamp(before, after));
}

#[tokio::test]
async fn silence_on_either_end_is_an_age_and_a_part_of_the_timeout() -> Result<(), LabError> {
    const TIMEOUT: f64 = 12.0;
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().set("wal_sender_timeout", "12s")).await?;
    let server = ServerOptions::default().set("wal_receiver_status_interval", "1s").set("wal_receiver_timeout", "24s");
    let b = lab.standby_of(&a, "b", StandbyOptions { server, ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    // A walreceiver that never got WAL has nothing to tell.
    a.switch_wal().await?;
    b.wait_caught_up(&a, SOON).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    let of_b = "node=\"a\",standby=\"b\"";
    let reply_age = |page: &Page| page.get("walsender_reply_age_seconds", of_b);
    let young = |page: &Page| match reply_age(page) {
        Some(age) if age < 2.0 => Ok(()),
        other => Err(format!("{other:?}")),
    };
    vigil.until("a reply each second", young).await;

    // The last reply comes before the freeze, by no more than the status interval.
    b.freeze_process(Backend::WalReceiver).await?;
    let reply = async || a.value("SELECT extract(epoch FROM reply_time)::text FROM pg_stat_replication").await;
    let (last, frozen) = (reply().await?, Instant::now());
    let server_age = "SELECT extract(epoch FROM clock_timestamp() - reply_time)::text FROM pg_stat_replication";
    for seconds in [3.0, 5.0] {
        wait_until("silence", SOON, async || match frozen.elapsed().as_secs_f64() {
            passed if passed >= seconds => Ok(()),
            passed => Err(format!("{passed:.1} s")),
        })
        .await?;
        // Both clocks are those of this machine. The page comes at some moment between the two, however long each takes.
        let server_age = async || Ok::<f64, LabError>(a.value(server_age).await?.unwrap().parse().unwrap());
        let before = server_age().await?;
        let page = vigil.page().await;
        let truth = (before, server_age().await?);
        assert!(truth.1 >= seconds && reply().await? == last, "no reply since");
        within("age of the reply", reply_age(&page), truth);
        within("ratio", page.get("walsender_reply_age_ratio", of_b).map(|ratio| ratio * TIMEOUT), truth);
        assert_eq!(page.one_of("walsender_state", of_b), "streaming", "nothing else tells");
    }
    b.thaw()?;
    vigil.until("the next reply", young).await;

    // And now the other way round.
    let message_age = |page: &Page| page.of_node("wal_receiver_last_message_age_seconds", "b");
    let walsender = a.freeze_process(Backend::WalSender("b")).await?;
    let told = vigil
        .until("the upstream silent", |page| match message_age(page) {
            Some(age) if age > 3.0 => Ok((age, page.of_node("wal_receiver_message_age_ratio", "b"))),
            other => Err(format!("{other:?}")),
        })
        .await;
    assert_eq!(told.1, Some(told.0 / 24.0), "of its own timeout and no other");
    let row = "SELECT extract(epoch FROM clock_timestamp() - last_msg_receipt_time), extract(epoch FROM last_msg_send_time), \
               extract(epoch FROM last_msg_receipt_time), extract(epoch FROM latest_end_time), \
               latest_end_lsn - '0/0'::pg_lsn, received_tli FROM pg_stat_wal_receiver";
    let truth = async || {
        let row = b.query(row).await?.remove(0);
        Ok::<Vec<f64>, LabError>(row.into_iter().map(|cell| cell.unwrap().parse().unwrap()).collect())
    };
    let before = truth().await?;
    let page = vigil.page().await;
    let truth = truth().await?;
    within("age of the message", message_age(&page), (before[0], truth[0]));
    let of_receiver = |name: &str| page.of_node(&format!("wal_receiver_{name}"), "b").unwrap();
    for (name, truth) in [
        ("last_message_send_timestamp_seconds", truth[1]),
        ("last_message_receipt_timestamp_seconds", truth[2]),
        ("latest_end_timestamp_seconds", truth[3]),
    ] {
        assert!((of_receiver(name) - truth).abs() < 1e-3, "{name}: {} {truth}", of_receiver(name));
    }
    assert_eq!(page.get("wal_receiver_position_bytes", "node=\"b\",stage=\"latest_end\""), Some(truth[4]));
    assert_eq!(page.get("wal_receiver_timeline", "node=\"b\",stage=\"received\""), Some(truth[5]));
    walsender.signal(Signal::CONT)?;

    // Without a timeout an age is no part of anything.
    a.alter(&[("wal_sender_timeout", "0")]).await?;
    vigil
        .until("an age without a ratio", |page| {
            match (reply_age(page).is_some(), page.get("walsender_reply_age_ratio", of_b)) {
                (true, None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn each_stream_made_anew_is_counted_on_both_ends() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().set("log_connections", "on")).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { slot: Some("b".to_owned()), ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    let nowhere = Node::with("c", "host=127.0.0.1 port=1 user=nobody dbname=postgres", "");
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b), nowhere]).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    // A connection that failed at once may have gone between two readings, but none is made up.
    let connections = || a.log().matches("replication connection authorized: user=replicator").count() as f64;
    let before = connections();
    let reconnects =
        |page: &Page, standby| page.get("walsender_reconnects_total", &format!("node=\"a\",standby=\"{standby}\""));
    for kills in 0..=3 {
        let kills = f64::from(kills);
        vigil
            .until(&format!("{kills} reconnects"), |page| {
                let slots = [
                    page.get("walsender_slot_info", "node=\"a\",standby=\"b\",slot=\"b\""),
                    page.get("wal_receiver_slot_info", "node=\"b\",slot=\"b\""),
                ];
                let counts = [reconnects(page, "b"), page.of_node("wal_receiver_starts_total", "b")];
                let made = connections() - before;
                assert!(counts.iter().all(|count| count.is_some_and(|count| count <= made)), "{counts:?} of {made}");
                let all = counts.iter().all(|count| *count >= Some(kills)) && slots == [Some(1.0); 2];
                if all { Ok(()) } else { Err(format!("{counts:?} {slots:?}")) }
            })
            .await;
        assert_eq!(reconnects(&vigil.page().await, "c"), Some(0.0), "expected, and never there");
        if kills < 3.0 {
            a.signal_process(Backend::WalSender("b"), Signal::TERM).await?;
        }
    }
    lab.stop().await;
    Ok(())
}

/// Waits until this node is fed by this one, and by no other.
async fn until_upstream(vigil: &Vigil, node: &str, upstream: &str) {
    let what = format!("{node} to be fed by {upstream}");
    vigil
        .until_within(&what, 2 * SOON, |page| {
            let all = page.matching(&["standby_upstream{", &format!("node=\"{node}\"")]);
            let on: Vec<_> = all.iter().filter(|(_, on)| *on == 1.0).map(|(series, _)| *series).collect();
            if !all.is_empty() {
                assert_eq!(on.len(), 1, "exactly one: {all:?}");
            }
            if on.iter().any(|series| series.contains(&format!("upstream=\"{upstream}\""))) {
                Ok(())
            } else {
                Err(format!("{on:?}"))
            }
        })
        .await;
}

#[tokio::test]
async fn the_upstream_is_known_in_a_cascade_after_a_move_and_when_there_is_none() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    // The address that b dials is nobody's.
    let wire = Wire::to(a.port()).await?;
    let through = StandbyOptions { through_port: Some(wire.port()), ..Default::default() };
    let b = lab.standby_of(&a, "b", through).await?;
    a.wait_streaming("b", SOON).await?;
    // A name that says nothing: what it dials is all there is.
    let nameless = StandbyOptions { application_name: Some("walreceiver".to_owned()), ..Default::default() };
    let d = lab.standby_of(&b, "d", nameless).await?;
    b.wait_streaming("walreceiver", SOON).await?;
    let vigil = Vigil::start(&lab, &[&a, &b, &d].map(Node::of)).await?;
    until_upstream(&vigil, "b", "a").await;
    until_upstream(&vigil, "d", "b").await;
    assert!(vigil.page().await.matching(&["standby_upstream{", "node=\"a\""]).is_empty(), "a primary has none");

    // By its own name it goes to the primary.
    d.repoint(a.port()).await?;
    until_upstream(&vigil, "d", "a").await;
    let unnamed = vigil.page().await;
    assert_eq!(connected(&unnamed, "d"), Some(1.0));

    wire.set(WireMode::Cut).await?;
    until_upstream(&vigil, "b", "none").await;
    wire.set(WireMode::Pass).await?;
    until_upstream(&vigil, "b", "a").await;

    b.promote().await?;
    vigil
        .until("b to be nobody's standby", |page| match page.matching(&["standby_upstream{", "node=\"b\""]).len() {
            0 => Ok(()),
            left => Err(format!("{left} series")),
        })
        .await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_no_node_is_an_upstream_of_its_own_kind() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let d = lab.standby_of(&b, "d", StandbyOptions::default()).await?;
    b.wait_streaming("d", SOON).await?;
    let vigil = Vigil::start(&lab, &[&b, &d].map(Node::of)).await?;
    until_upstream(&vigil, "b", "other").await;
    until_upstream(&vigil, "d", "b").await;
    b.freeze()?;
    vigil.until_state("b", "timeout").await;
    // b cannot say what it feeds; d does.
    until_upstream(&vigil, "d", "b").await;
    until_upstream(&vigil, "b", "unknown").await;
    b.thaw()?;
    until_upstream(&vigil, "b", "other").await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn names_that_two_share_and_a_name_that_changes_keep_the_page_right() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { slot: Some("b".to_owned()), ..Default::default() }).await?;
    let twin = StandbyOptions { application_name: Some("c".to_owned()), ..Default::default() };
    let c = lab.standby_of(&a, "c", twin.clone()).await?;
    let e = lab.standby_of(&a, "e", twin).await?;
    let both = "SELECT count(*) = 2 FROM pg_stat_replication WHERE application_name = 'c' AND state = 'streaming'";
    wait_until("two of one name", SOON, async || match a.value(both).await?.as_deref() {
        Some("t") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    let vigil = Vigil::start(&lab, &[&a, &b, &c].map(Node::of)).await?;
    vigil.until_healthy(&["a", "b", "c"], &["b", "c"]).await;
    let conflict = |page: &Page, standby: &str| page.get("standby_name_conflict", &format!("standby=\"{standby}\""));
    let page = vigil.page().await;
    assert_eq!((conflict(&page, "b"), conflict(&page, "c")), (Some(0.0), Some(1.0)));
    assert_eq!(kinds(&page)[0], Some(3.0));
    let text = vigil.get("/metrics", "").await.expect("a page");
    let mut seen = std::collections::BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
        assert!(seen.insert(series), "twice: {series}");
    }
    e.kill();
    vigil
        .until("the name to be one's own again", |page| match conflict(page, "c") {
            Some(0.0) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;

    // b calls itself otherwise: its slot says who it is. And a database in its conninfo, as the synchronization of slots wants it,
    // makes no subscription of it.
    let conninfo = b.value("SHOW primary_conninfo").await?.unwrap();
    let renamed = conninfo.replace("application_name=b", "application_name=renamed dbname=postgres");
    b.alter(&[("primary_conninfo", &renamed)]).await?;
    a.wait_streaming("renamed", SOON).await?;
    vigil
        .until("b's new walsender", |page| match page.get("walsender_reconnects_total", "node=\"a\",standby=\"b\"") {
            Some(count) if count >= 1.0 => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    let page = vigil.page().await;
    assert_eq!(standbys(&page), [("b".to_owned(), 1.0), ("c".to_owned(), 1.0)], "nobody new");
    assert_eq!((connected(&page, "b"), kinds(&page)), (Some(1.0), [Some(2.0), Some(0.0), Some(0.0), Some(0.0)]));
    until_upstream(&vigil, "b", "a").await;
    lab.stop().await;
    Ok(())
}
