//! What a failover lost, measured afterwards on the old primary's own files.

use std::process::Command;

use pgvigil::lab::{LabError, Server};
use pgvigil::pg::lsn::Lsn;
use serde_json::Value;

use super::client::Client;
use super::stage::Stage;

/// What was lost, and what the run said of it.
#[derive(Clone, Copy, Debug)]
pub struct Lost {
    /// Acknowledged rows that the new primary lacks.
    pub rows: usize,
    /// WAL beyond the fork.
    pub bytes: u64,
    /// The most that the run said it would be.
    pub reported: u64,
}

/// Prints acknowledged rows that the new primary lacks beside the bytes that the run reported and those that were lost, and panics if
/// these are more than those. Ends the client.
pub async fn judge(client: Client, run: &Value, stage: &Stage, new: &Server) -> Result<Lost, LabError> {
    let acked = client.acked().len();
    let lost = client.lost_on(new).await;
    let bytes = wal_lost(stage, new).await?;
    let reported = run["loss_bytes"].as_u64();
    println!(
        "lost {} of {acked} acknowledged rows, {bytes} bytes of WAL; the run reported {reported:?} bytes",
        lost.len()
    );
    assert!(reported.is_some_and(|reported| bytes <= reported), "{bytes} bytes were lost, {reported:?} reported");
    assert!(bytes > 0 || lost.is_empty(), "no WAL was lost and these rows were: {lost:?}");
    Ok(Lost { rows: lost.len(), bytes, reported: reported.unwrap_or_default() })
}

/// How much WAL the first primary, which is stopped, has beyond the point at which `new` left its timeline.
async fn wal_lost(stage: &Stage, new: &Server) -> Result<u64, LabError> {
    let history = new.value("SELECT pg_read_file('pg_wal/00000002.history')").await?.expect("a history");
    let fork = history.trim().lines().last().and_then(|line| line.split('\t').nth(1)).expect("a fork").to_owned();
    let from: Lsn = fork.parse().expect("a position");
    let dump = Command::new(stage.lab.binaries().dir().join("pg_waldump"))
        .args(["-p".as_ref(), stage.a.data_dir().join("pg_wal").as_os_str()])
        .args(["-t", "1", "-s", &fork])
        .output()
        .expect("pg_waldump");
    let text = String::from_utf8_lossy(&dump.stdout);
    let ends = text.lines().filter_map(|line| {
        let length: u64 =
            line.split("len (rec/tot):").nth(1)?.split('/').nth(1)?.split(',').next()?.trim().parse().ok()?;
        let at: Lsn = line.split("lsn: ").nth(1)?.split(',').next()?.parse().ok()?;
        // The next record begins aligned.
        Some((at.0 + length).next_multiple_of(8))
    });
    Ok(ends.max().map_or(0, |end| end.saturating_sub(from.0)))
}
