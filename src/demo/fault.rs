//! What can be broken and mended in the demo.

use anyhow::bail;

use super::cast::Cast;
use crate::lab::{Archive, WireMode, Writer};

/// A fault, or its mending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// Kills the primary a and all its processes (SIGKILL)
    KillPrimary,
    /// Starts a again
    StartPrimary,
    /// Stops every process of a (SIGSTOP): it accepts connections and says nothing
    FreezePrimary,
    /// Lets a go on
    ThawPrimary,
    /// Pauses replay on b; it receives on
    PauseReplay,
    /// Lets replay on b go on
    ResumeReplay,
    /// Cuts the connection between a and b
    CutStandby,
    /// Mends the connection between a and b
    MendStandby,
    /// Makes archive_command fail on a
    BreakArchive,
    /// Makes archive_command hang on a
    HangArchive,
    /// Mends archive_command on a
    MendArchive,
    /// Promotes b, whether or not a is alive: with a alive, both take writes
    PromoteStandby,
    /// Makes a and the other standby follow the promoted one
    RejoinPrimary,
}

impl Fault {
    /// Each fault with what mends it.
    pub const PAIRS: [(Self, Self); 7] = [
        (Self::KillPrimary, Self::StartPrimary),
        (Self::FreezePrimary, Self::ThawPrimary),
        (Self::PauseReplay, Self::ResumeReplay),
        (Self::CutStandby, Self::MendStandby),
        (Self::BreakArchive, Self::MendArchive),
        (Self::HangArchive, Self::MendArchive),
        (Self::PromoteStandby, Self::RejoinPrimary),
    ];

    /// Its name on the command line.
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Does it, and says what was done and where it shows.
pub(super) async fn apply(fault: Fault, cast: &mut Cast) -> anyhow::Result<String> {
    let Cast { a, b, wire, .. } = &*cast;
    let said = match fault {
        Fault::KillPrimary => {
            a.kill();
            "a is killed: pgvigil_node_up{node=\"a\"} falls to 0"
        }
        Fault::StartPrimary if a.running() => {
            bail!("a runs already; a frozen server goes on with thaw-primary")
        }
        Fault::StartPrimary => {
            a.start().await?;
            "a runs again: pgvigil_node_up{node=\"a\"} is back at 1"
        }
        Fault::FreezePrimary | Fault::ThawPrimary if !a.running() => {
            bail!("a does not run: start-primary starts it")
        }
        Fault::FreezePrimary => {
            a.freeze()?;
            "a is frozen: pgvigil_node_state{node=\"a\",state=\"timeout\"} becomes 1"
        }
        Fault::ThawPrimary => {
            a.thaw()?;
            "a goes on"
        }
        Fault::PauseReplay => {
            b.pause_replay().await?;
            "replay on b is paused: pgvigil_standby_lag_seconds{node=\"b\",stage=\"replayed\"} grows"
        }
        Fault::ResumeReplay => {
            b.resume_replay().await?;
            "replay on b goes on"
        }
        Fault::CutStandby => {
            wire.set(WireMode::Cut).await?;
            "b is cut off: its lag and pgvigil_slot_retained_bytes{slot=\"b\"} grow"
        }
        Fault::MendStandby => {
            wire.set(WireMode::Pass).await?;
            "b is connected again"
        }
        Fault::BreakArchive | Fault::HangArchive | Fault::MendArchive if !a.running() => {
            bail!("a does not run: start-primary starts it")
        }
        Fault::BreakArchive => {
            a.archive(&Archive::Broken).await?;
            a.switch_wal().await?;
            "archiving fails: pgvigil_archive_state{state=\"failing\"} becomes 1"
        }
        Fault::HangArchive => {
            a.archive(&Archive::Hung).await?;
            a.switch_wal().await?;
            "archiving hangs: pgvigil_archive_state{state=\"hung\"} becomes 1 after 10 s, after a failure 70 s"
        }
        Fault::MendArchive => {
            a.archive(&Archive::Into(cast.archive.clone())).await?;
            "archiving works again"
        }
        Fault::PromoteStandby => {
            if let Some((primary, _)) = cast.promoted().await {
                bail!("{} is promoted already: rejoin-primary lets the others follow it", primary.name());
            }
            let split = a.running();
            b.promote().await?;
            if split {
                "b is promoted while a still runs: pgvigil_cluster_split_brain{state=\"yes\"} becomes 1"
            } else {
                let writer = Writer::start(b, cast.write_rate).await?;
                cast.writer = writer;
                "b is promoted and takes the writes; c still waits for a"
            }
        }
        Fault::RejoinPrimary => {
            let Some((primary, other)) = cast.promoted().await else {
                bail!("b and c are standbys: promote-standby makes b a primary first");
            };
            let writer = Writer::start(primary, cast.write_rate).await?;
            a.rejoin(primary, Some("a")).await?;
            other.repoint(primary.port()).await?;
            let said = format!("a and {} follow {} now", other.name(), primary.name());
            cast.writer = writer;
            return Ok(format!("{said}; one that wrote WAL beyond the fork cannot stream and shows as diverged"));
        }
    };
    Ok(said.to_owned())
}
