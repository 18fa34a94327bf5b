//! Files on a disk that does not answer: a pipe into which nobody writes holds whoever opens it, as such a disk does.

use std::path::Path;
use std::time::{Duration, Instant};

use pgvigil::lab::{Lab, LabError, Role, ServerOptions, Spawn, wait_until};

use super::client::get;
use super::door::PAGES;
use super::failures::{lines, until_logged};
use super::watch::{INTERVAL, Node, SOON, Vigil};

/// Nine pages of ten come within this, whatever the files do; on a busy machine one may take longer …
const AT_ONCE: Duration = Duration::from_millis(100);
/// … but none as long as what hangs.
const NEVER: Duration = Duration::from_secs(1);

/// Puts a pipe into the place of the file at `path`.
pub async fn pipe(lab: &Lab, path: &Path) -> Result<(), LabError> {
    let new = path.with_extension("pipe");
    let made = lab.spawn(Spawn::new("mkfifo", "mkfifo").arg("-m").arg("600").arg(&new))?.wait(SOON).await?;
    assert_eq!(made.code(), Some(0));
    std::fs::rename(&new, path).unwrap();
    Ok(())
}

/// Threads of the process that wait in the opening of a pipe.
fn held(pid: i32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let waits = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("wchan")).ok());
    waits.filter(|wait| wait == "wait_for_partner").count()
}

/// The times of all pages, each asked `times` times, the shortest first.
async fn answers(vigil: &Vigil, times: usize) -> Vec<Duration> {
    let mut answers = Vec::new();
    for _ in 0..times {
        for path in PAGES {
            let began = Instant::now();
            assert_eq!(get(vigil.port(), path, "").await.status, 200, "{path}");
            answers.push(began.elapsed());
        }
        tokio::time::sleep(INTERVAL / 5).await;
    }
    answers.sort_unstable();
    answers
}

#[tokio::test]
async fn a_file_that_hangs_costs_its_own_node_and_nobody_else() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let (dsn, root) = (lab.path().join("b.dsn"), lab.path().join("root.crt"));
    let dsn_of_b = a.dsn(Role::Monitor).replace("dbname=postgres", "dbname=template1");
    std::fs::write(&dsn, "host=127.0.0.1 port=1 user=nobody dbname=postgres").unwrap();
    std::fs::write(&root, crate::pki::Authority::new().pem()).unwrap();
    let nodes = [
        Node::of(&a),
        Node::in_file("b", &dsn),
        Node::with("c", &format!("host=127.0.0.1 port=1 user=m sslmode=verify-ca sslrootcert={}", root.display()), ""),
    ];
    let vigil = Vigil::start_with(&lab, &nodes, "timeouts: {connect: 300ms, query: 2s}\n").await?;
    vigil.until_state("a", "up").await;
    for node in ["b", "c"] {
        vigil.until_state(node, "unreachable").await;
    }
    pipe(&lab, &dsn).await?;
    pipe(&lab, &root).await?;
    for (node, path) in [("b", &dsn), ("c", &root)] {
        vigil.until_state(node, "unknown").await;
        until_logged(&vigil, &format!("reading {} did not answer within 300ms", path.display())).await?;
    }
    let (began, before) = (Instant::now(), vigil.page().await.of_node("node_last_observation_timestamp_seconds", "a"));
    let answers = answers(&vigil, 30).await;
    let (most, longest) = (answers[answers.len() * 9 / 10], answers[answers.len() - 1]);
    println!("nine answers of ten within {most:?}, the longest {longest:?}");
    assert!(most < AT_ONCE && longest < NEVER, "{most:?}, {longest:?}");
    // The other node is read at each interval, and however often the two were tried, a thread hangs for each and no more.
    let page = vigil.page().await;
    let after = page.of_node("node_last_observation_timestamp_seconds", "a");
    let read = after.zip(before).map(|(after, before)| after - before).unwrap();
    let passed = began.elapsed().as_secs_f64();
    assert!(read > passed - 2.5 * INTERVAL.as_secs_f64(), "in {passed} s the readings went on by {read} s");
    let waits = held(vigil.process().id().pid);
    assert_eq!(waits, 2, "threads that hang");
    for node in ["b", "c"] {
        assert_eq!(page.get("node_connect_failure", &format!("node=\"{node}\",reason=\"config\"")), Some(1.0));
        assert_eq!(lines(&vigil.log(), &[&format!("node=\"{node}\""), "did not answer within"]).len(), 1, "once");
    }

    // What is written in the end counts.
    let writing = {
        let dsn = dsn.clone();
        tokio::task::spawn_blocking(move || std::fs::write(dsn, dsn_of_b))
    };
    wait_until("somebody to read the pipe", SOON, async || match writing.is_finished() {
        true => Ok(()),
        false => Err("nobody does".to_owned()),
    })
    .await?;
    vigil.until_state("b", "up").await;
    assert_eq!(vigil.page().await.state("c"), "unknown");
    // The threads that hang keep nobody from ending it.
    assert_eq!(vigil.process().terminate(Duration::from_secs(3)).await?.code(), Some(0));
    lab.stop().await;
    Ok(())
}
