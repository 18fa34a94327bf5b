//! Programs that only say something: how they end, how much they may say, and what is left of them.

use std::time::{Duration, Instant};

use pgvigil::runbook::step::listen::listen;

const LONG: Duration = Duration::from_secs(30);

async fn shell(script: &str, deadline: Duration) -> Result<String, String> {
    listen(&["/bin/sh", "-c", script].map(str::to_owned), deadline).await
}

#[tokio::test]
async fn what_is_said_counts_whatever_the_exit_and_silence_is_explained() {
    assert_eq!(shell("echo '[1]'; echo no >&2; exit 3", LONG).await.unwrap(), "[1]\n");
    assert_eq!(shell("test -z \"$LAB_ANYTHING$PGPASSWORD\" && cat && echo $LANG", LONG).await.unwrap(), "C\n");
    let silent = shell("echo one >&2; echo two >&2; exit 3", LONG).await.unwrap_err();
    assert!(silent.ends_with("said nothing (exit status: 3): two"), "{silent}");
    let missing = listen(&["/nonexistent/pgbackrest".to_owned()], LONG).await.unwrap_err();
    assert!(missing.starts_with("/nonexistent/pgbackrest does not exist"), "{missing}");
    let relative = listen(&["pgbackrest".to_owned()], LONG).await.unwrap_err();
    assert!(relative.contains("must begin with /"), "{relative}");
}

#[tokio::test]
async fn one_that_is_late_or_says_too_much_ends_with_all_that_it_started() {
    let dir = std::env::temp_dir().join(format!("pgvigil-listening-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let pid = dir.join("pid");
    let began = Instant::now();
    let late = shell(&format!("sleep 100 & echo $! > {}; wait", pid.display()), Duration::from_millis(700)).await;
    assert!(late.unwrap_err().contains("had not ended after 0.7 s and was killed"));
    assert!(began.elapsed() < Duration::from_secs(5));
    let child: u32 = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    let runs = || std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while runs() {
        assert!(began.elapsed() < Duration::from_secs(10), "what it started goes on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    std::fs::remove_dir_all(&dir).unwrap();

    let flood = shell("while :; do echo 0123456789012345678901234567890123456789; done", LONG).await;
    assert!(flood.unwrap_err().contains("said more than 4 MiB"));
    assert!(began.elapsed() < Duration::from_secs(20));
}
