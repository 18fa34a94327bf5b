//! What is seen beside a server and in the archive, and for how long it counts.

use super::*;
use crate::archive_watch::archive_dir::{ArchiveDir, ArchiveDirState, Found};
use crate::archive_watch::hostside::{Hostside, WalVolume};
use crate::clock::Wall;
use crate::cluster::cluster_samples;
use crate::cluster::facts::Report;
use crate::collector::archive_status::ArchiveStatus;
use crate::metric::histogram::Histogram;
use crate::metric::sample::{Samples, Value};

fn files(started_at: Option<f64>) -> Hostside {
    Hostside {
        archive_status: ArchiveStatus {
            ready: 0,
            oldest_ready_age: None,
            oldest_segments: Vec::new(),
            position: None,
            server_time: Wall::from_seconds(0.0),
        },
        archive_durations: Histogram::new(&[1.0]),
        wal_volume: WalVolume { size: 100, free: 50, seconds_to_full: None },
        started_at: started_at.map(Wall::from_seconds),
    }
}

/// How many series of what is seen beside servers there are, and the state of the archive with how many figures.
fn series(paper: &Paper) -> (usize, Option<(String, usize)>) {
    let mut samples = Samples::default();
    cluster_samples(&paper.cluster, paper.now, &mut samples);
    let named =
        |part: &str| samples.iter().filter(move |sample| sample.family.name.starts_with(part)).collect::<Vec<_>>();
    let beside = named("pgvigil_wal_volume").len() + named("pgvigil_archive_duration").len();
    let states = named("pgvigil_archive_dir_state");
    let state = states.iter().find(|sample| *sample.value == Value::Number(1.0));
    let figures = named("pgvigil_archive_dir").len() - states.len();
    (beside, state.map(|sample| (sample.labels().nth(1).unwrap_or_default().to_owned(), figures)))
}

fn read_all(paper: &mut Paper) {
    paper.wait(1.0);
    paper.read(A, &primary(1, 100));
    paper.read(B, &standby(1, 100, 100));
    paper.read(C, &standby(1, 100, 100));
}

#[test]
fn files_count_while_the_look_is_young_and_the_server_theirs() {
    let mut paper = Paper::new();
    read_all(&mut paper);
    assert_eq!(series(&paper), (0, None), "without data_dir and archive_dir there is nothing");
    paper.cluster.report(A, Report::Hostside(Some(files(Some(1.0)))), paper.now);
    assert_eq!(series(&paper).0, 3);
    paper.fail(A, Cause::Refused);
    assert_eq!(series(&paper).0, 3, "a server that is down has its files still");
    paper.wait(31.0);
    assert_eq!(series(&paper).0, 0, "too old");

    read_all(&mut paper);
    paper.cluster.report(A, Report::Hostside(Some(files(Some(5_000.0)))), paper.now);
    assert_eq!(series(&paper).0, 0, "of a server that started at another time");
    paper.cluster.report(A, Report::Hostside(Some(files(None))), paper.now);
    assert_eq!(series(&paper).0, 3, "it does not say");
    paper.cluster.report(A, Report::Hostside(None), paper.now);
    assert_eq!(series(&paper).0, 0, "not seen");
}

#[test]
fn an_archive_that_was_not_looked_at_is_unknown_and_shows_nothing() {
    let mut paper = Paper::new();
    read_all(&mut paper);
    let found = Found { totals: Some((1, 1)), missing: Some(0), ..Found::default() };
    let whole = ArchiveDir { state: ArchiveDirState::Ok, found: Some(found) };
    paper.cluster.report_archive(whole.clone(), paper.now);
    // Segments, bytes, missing, histories, and bad files for four reasons.
    assert_eq!(series(&paper).1, Some(("ok".to_owned(), 8)));
    paper.wait(301.0);
    assert_eq!(series(&paper).1, Some(("unknown".to_owned(), 0)));

    paper.cluster.report_archive(whole, paper.now);
    // Our own clock stands still for a minute, as when the machine sleeps.
    paper.now = paper.now.plus(std::time::Duration::from_secs(60));
    assert_eq!(series(&paper).1, Some(("unknown".to_owned(), 0)));
}
