//! The scenarios. Each tells what it measured, and fails where a row went astray.

use std::time::{Duration, Instant};

use pgvigil::lab::{StopMode, wait_until};

use super::clients::Client;
use super::stage::{BUSY, CHECK, FALL, INTER, SAMPLE, Stage};
use super::{Measured, Outcome};
use crate::live::watch::SOON;

/// After a promotion writes are there within this.
const SWITCHED: Duration = Duration::from_secs(3);
/// So long nothing comes before it is said that nothing comes any more.
const QUIET: Duration = Duration::from_secs(2);

/// HAProxy's time to close a server that pgvigil says no of, or that is not there to be asked.
fn closed() -> Duration {
    FALL * INTER
}

/// The primary is stopped and the standby promoted.
pub async fn planned() -> Outcome {
    let stage = Stage::open(&["a", "b"], "lag=5s").await?;
    let [a, b] = &stage.servers[..] else { unreachable!() };
    let client = Client::writing(a, stage.writes).await?;
    client.more(100).await?;
    a.stop(StopMode::Fast).await?;
    b.promote().await?;
    let promoted = Instant::now();
    let first = client.first_by(b, promoted).await?;
    client.more(100).await?;
    assert_eq!(client.in_turn(&[a, b]), ["a", "b"]);
    let lost = client.lost_on(b).await?;
    assert!(lost.is_empty(), "a stop loses nothing: {lost:?}");
    stage.lab.stop().await;
    Ok(vec![Measured::new("planned promotion, until the first write", first, SWITCHED)])
}

/// The primary is killed and the standby promoted at once.
pub async fn killed() -> Outcome {
    let stage = Stage::open(&["a", "b"], "lag=5s").await?;
    let [a, b] = &stage.servers[..] else { unreachable!() };
    let client = Client::writing(a, stage.writes).await?;
    client.more(100).await?;
    a.kill();
    b.promote().await?;
    let promoted = Instant::now();
    let first = client.first_by(b, promoted).await?;
    client.more(100).await?;
    assert_eq!(client.in_turn(&[a, b]), ["a", "b"]);
    // Replication is asynchronous: what the standby had not received is lost, and all of that is the old primary's.
    let lost = client.lost_on(b).await?;
    println!("{} acknowledged rows lost", lost.len());
    assert!(lost.iter().all(|one| one.by == a.port()), "{lost:?}");
    stage.lab.stop().await;
    Ok(vec![Measured::new("promotion after kill -9, until the first write", first, SWITCHED)])
}

/// The primary freezes, the standby is promoted, and the old primary thaws.
pub async fn frozen() -> Outcome {
    let stage = Stage::open(&["a", "b"], "lag=5s").await?;
    let [a, b] = &stage.servers[..] else { unreachable!() };
    let client = Client::writing(a, stage.writes).await?;
    client.more(100).await?;
    let said = stage.said();
    a.freeze()?;
    stage.until_said_after(said, "Server primary/a is DOWN").await?;
    b.promote().await?;
    let promoted = Instant::now();
    let first = client.first_by(b, promoted).await?;
    client.more(50).await?;
    let thawed = Instant::now();
    a.thaw()?;
    // Two take writes now, and nobody gets any: which rows are to be kept is for a person to say.
    let last = client.silence(QUIET).await?;
    assert_eq!(client.in_turn(&[a, b]), ["a", "b"]);
    assert!(stage.answer(0, "primary").await.1.contains("on timeline 1, and timeline 2 was seen"));
    assert!(stage.answer(1, "primary").await.1.contains("split brain: a writes too"));
    a.stop(StopMode::Immediate).await?;
    let ended = Instant::now();
    let again = client.first_by(b, ended).await?;
    assert_eq!(client.in_turn(&[a, b]), ["a", "b"]);
    let lost = client.lost_on(b).await?;
    assert!(lost.iter().all(|one| one.by == a.port()), "{lost:?}");
    stage.lab.stop().await;
    Ok(vec![
        Measured::new("promotion beside a frozen primary, until the first write", first, SWITCHED),
        Measured::new(
            "old primary thawed, until the last write anywhere",
            last.saturating_duration_since(thawed),
            SAMPLE + closed() + BUSY,
        ),
        Measured::new("old primary ended, until writes go on", again, SWITCHED),
    ])
}

/// A standby is promoted beside a primary that goes on.
pub async fn split() -> Outcome {
    let stage = Stage::open(&["a", "b"], "lag=5s").await?;
    let [a, b] = &stage.servers[..] else { unreachable!() };
    let client = Client::writing(a, stage.writes).await?;
    client.more(100).await?;
    b.promote().await?;
    let promoted = Instant::now();
    let last = client.silence(QUIET).await?;
    assert_eq!(client.in_turn(&[a, b]), ["a"]);
    for index in [0, 1] {
        assert_eq!(stage.answer(index, "primary").await.0, 503);
        assert_eq!(stage.answer(index, "read-only").await.0, 503);
    }
    a.stop(StopMode::Fast).await?;
    let ended = Instant::now();
    let again = client.first_by(b, ended).await?;
    client.more(50).await?;
    assert_eq!(client.in_turn(&[a, b]), ["a", "b"]);
    // What the old one took after the fork is in no line that survives: no check can be quicker than its interval.
    let lost = client.lost_on(b).await?;
    println!("{} acknowledged rows lost", lost.len());
    assert!(lost.iter().all(|one| one.by == a.port()), "{lost:?}");
    stage.lab.stop().await;
    Ok(vec![
        Measured::new(
            "split brain, until the old primary's last write",
            last.saturating_duration_since(promoted),
            SAMPLE + closed() + BUSY,
        ),
        Measured::new("old primary ended, until writes go on", again, SWITCHED),
    ])
}

/// The pgvigil beside the primary is restarted, killed and frozen while clients write.
pub async fn observer() -> Outcome {
    let mut stage = Stage::open(&["a", "b"], "lag=5s").await?;
    let lab = stage.lab.clone();
    let client = Client::writing(&stage.servers[0], stage.writes).await?;
    client.more(100).await?;

    let restarted = Instant::now();
    let session = client.answered().last().map(|one| one.session);
    stage.vigils[0].restart(&lab).await?;
    let until_open = wait_until("pgvigil to know the primary again", SOON, async || {
        let (status, line) = stage.answer(0, "primary").await;
        if status == 200 { Ok(restarted.elapsed()) } else { Err(line) }
    })
    .await?;
    client.more(50).await?;
    let gap = client.longest_gap(restarted);
    assert_eq!(client.answered().last().map(|one| one.session), session, "no session is lost by a restart");

    // A check that passes forgets those that failed meanwhile; HAProxy tells nobody when it made one.
    tokio::time::sleep(2 * INTER).await;
    let killed = Instant::now();
    stage.vigils[0].crash().await?;
    let went_on = client.silence(QUIET).await?.saturating_duration_since(killed);
    assert!(went_on + BUSY >= (FALL - 1) * INTER, "writes went on for {went_on:?} alone");
    stage.vigils[0].start_again(&lab).await?;
    let back = Instant::now();
    let again = client.first_by(&stage.servers[0], back).await?;
    client.more(50).await?;

    let frozen = Instant::now();
    stage.vigils[0].process().freeze()?;
    let deaf = client.silence(QUIET).await?.saturating_duration_since(frozen);
    stage.vigils[0].process().thaw()?;
    let thawed = Instant::now();
    let thawed = client.first_by(&stage.servers[0], thawed).await?;
    assert_eq!(client.in_turn(&[&stage.servers[0], &stage.servers[1]]), ["a"]);
    let lost = client.lost_on(&stage.servers[0]).await?;
    assert!(lost.is_empty(), "{lost:?}");
    drop(stage);
    lab.stop().await;
    Ok(vec![
        Measured::new("pgvigil restarted: until it says yes again", until_open, (FALL - 1) * INTER + BUSY),
        Measured::new("pgvigil restarted: longest time without a write", gap, Duration::from_secs(1)),
        Measured::new("pgvigil killed: writes go on for", went_on, closed() + BUSY),
        Measured::new("pgvigil back: until writes go on", again, SWITCHED),
        Measured::new("pgvigil frozen: writes go on for", deaf, FALL * (INTER + CHECK) + BUSY),
        Measured::new("pgvigil thawed: until writes go on", thawed, SWITCHED + SAMPLE),
    ])
}

/// A standby falls behind by more than the limit, then all do, and they catch up.
pub async fn reads() -> Outcome {
    const LIMIT: Duration = Duration::from_secs(1);
    let stage = Stage::open(&["a", "b", "c"], "lag=1s").await?;
    let [a, b, c] = &stage.servers[..] else { unreachable!() };
    let writer = Client::writing(a, stage.writes).await?;
    let readers = [(); 4].map(|()| Client::reading(stage.reads));
    let by = |server: &pgvigil::lab::Server, since: Instant| {
        readers.iter().flat_map(Client::answered).filter(|one| one.by == server.port() && one.at > since).count()
    };
    let both = async |since: Instant| {
        wait_until("both standbys to be read, and the primary not", SOON, async || {
            let counts = [a, b, c].map(|server| by(server, since));
            if counts[0] == 0 && counts[1] > 0 && counts[2] > 0 {
                Ok(since.elapsed())
            } else {
                Err(format!("{counts:?}"))
            }
        })
        .await
    };
    let last_by = |server| readers.iter().filter_map(|reader| reader.last_by(server)).map(|one| one.at).max();
    let left = async |server, since: Instant| {
        wait_until("nobody to read there", SOON, async || {
            let last = last_by(server).ok_or("never")?;
            if last.elapsed() > QUIET { Ok(last.saturating_duration_since(since)) } else { Err(format!("{last:?}")) }
        })
        .await
    };
    both(Instant::now()).await?;
    let paused = Instant::now();
    c.pause_replay().await?;
    let one = left(c, paused).await?;
    assert!(last_by(b).is_some_and(|at| at.elapsed() < QUIET), "the other is read");
    assert!(stage.answer(2, "replica?lag=1s").await.1.starts_with("c: behind by "));
    assert_eq!(stage.answer(2, "replica").await.0, 200);
    b.pause_replay().await?;
    let fallback = Instant::now();
    // Nobody keeps up: the limit is given up, and any may be read.
    wait_until("reads of the primary", SOON, async || match by(a, fallback) {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    })
    .await?;
    b.resume_replay().await?;
    c.resume_replay().await?;
    let resumed = Instant::now();
    for server in [b, c] {
        wait_until(format!("{} to keep up", server.name()), SOON, async || {
            let index = if server.name() == "b" { 1 } else { 2 };
            let (status, line) = stage.answer(index, "replica?lag=1s").await;
            if status == 200 { Ok(()) } else { Err(line) }
        })
        .await?;
    }
    let said = format!("Server standbys/{} is UP", c.name());
    stage.until_said(&said).await?;
    // Sessions that are open stay where they are: only new ones come back.
    let fresh = Client::reading(stage.reads);
    let second = Client::reading(stage.reads);
    let third = Client::reading(stage.reads);
    let came = wait_until("reads of c", SOON, async || {
        let at = [&fresh, &second, &third].iter().filter_map(|one| one.last_by(c)).map(|one| one.at).min();
        at.map(|at| at.saturating_duration_since(resumed)).ok_or_else(|| format!("{} by b", by(b, resumed)))
    })
    .await?;
    writer.more(10).await?;
    stage.lab.stop().await;
    Ok(vec![
        Measured::new("standby stands still, limit 1 s: until its last read", one, LIMIT + SAMPLE + closed() + BUSY),
        Measured::new("standby goes on: until it is read", came, SAMPLE + closed() + Duration::from_secs(3)),
    ])
}
