//! `pgvigil runbook history`: what the journal holds, read from its files, also while pgvigil serve writes them.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;

use crate::clock::Wall;
use crate::runbook::journal::{ReadError, Reader, directory};
use crate::runbook::record::{Entry, Record};
use crate::runbook::run::{Event, RunRecord};

/// The table is written in pieces of so many rows, so that a long journal needs no more memory than a short one.
const ROWS: usize = 500;

/// What is shown.
#[derive(Clone, Debug)]
pub struct Show {
    /// Records as they are written, one JSON object a line.
    pub json: bool,
    /// Alerts about this cluster alone.
    pub cluster: Option<String>,
}

/// Prints the journal in `state_dir`. Exit: 0 all of it is good; 1 it is damaged, and what is shown is what comes before.
pub fn run(state_dir: &Path, show: &Show) -> anyhow::Result<ExitCode> {
    let dir = directory(state_dir);
    if !dir.is_dir() {
        writeln!(io::stderr(), "{} is not there: no alert was recorded yet", dir.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = io::stdout().lock();
    match print(&dir, show, &mut out) {
        // Whoever reads has enough.
        Err(error) if is_closed(&error) => Ok(ExitCode::SUCCESS),
        other => other,
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn print(dir: &Path, show: &Show, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let (mut rows, mut is_first) = (Vec::new(), true);
    // By run: only its plan names it.
    let mut clusters = BTreeMap::new();
    let mut damage = None;
    for record in Reader::open(dir)? {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                damage = Some(error);
                break;
            }
        };
        if let Entry::Run(RunRecord { run, event: Event::Planned(plan) }) = &record.entry {
            clusters.insert(run.clone(), plan.episode.cluster.clone());
        }
        let cluster = match &record.entry {
            Entry::Run(told) => clusters.get(&told.run).cloned(),
            Entry::Asked(asked) => Some(asked.cluster.clone()),
            entry => entry.alert().and_then(|alert| alert.cluster()).map(str::to_owned),
        };
        if show.cluster.is_some() && cluster != show.cluster {
            continue;
        }
        if show.json {
            writeln!(out, "{}", serde_json::to_string(&record).context("a record is no JSON")?)?;
            continue;
        }
        rows.push(row(&record));
        if rows.len() == ROWS {
            write!(out, "{}", table(std::mem::take(&mut rows), std::mem::take(&mut is_first)))?;
        }
    }
    if !rows.is_empty() {
        write!(out, "{}", table(rows, is_first))?;
    }
    out.flush()?;
    match damage {
        None => Ok(ExitCode::SUCCESS),
        // Nothing was promised of it.
        Some(torn @ ReadError::Torn { .. }) => {
            writeln!(io::stderr(), "pgvigil: {torn}")?;
            Ok(ExitCode::SUCCESS)
        }
        Some(error) => Err(error.into()),
    }
}

/// The columns of a record.
fn row(record: &Record) -> [String; 6] {
    let what = match &record.entry {
        Entry::Opened(opened) => {
            return [
                record.seq.to_string(),
                time(record.at.wall),
                "opened".to_owned(),
                String::new(),
                String::new(),
                format!("pgvigil {} began to write", opened.version),
            ];
        }
        Entry::Run(told) => {
            let (kind, run) = (told.event.kind().to_owned(), told.run.clone());
            let cluster = match &told.event {
                Event::Planned(plan) => plan.episode.cluster.clone(),
                _ => String::new(),
            };
            let sentence = plain(&told.event.sentence(None));
            return [record.seq.to_string(), time(record.at.wall), kind, cluster, run, sentence];
        }
        Entry::Switched(switched) => {
            let kind = if switched.paused { "paused" } else { "resumed" };
            let who = plain(&format!("by {}: {}", switched.by, switched.comment));
            let nobody = String::new();
            return [record.seq.to_string(), time(record.at.wall), kind.to_owned(), nobody.clone(), nobody, who];
        }
        Entry::Asked(asked) => {
            let who = plain(&format!("{} by {}", asked.runbook, asked.by));
            let kind = "asked".to_owned();
            return [record.seq.to_string(), time(record.at.wall), kind, asked.cluster.clone(), String::new(), who];
        }
        Entry::Received(alert) => {
            let truncated = match alert.truncated {
                0 => String::new(),
                left_out => format!(", {left_out} of its group left out"),
            };
            ("received", alert, format!("from {}{truncated}", alert.from))
        }
        Entry::Ignored(ignored) => {
            let alert = &ignored.alert;
            ("ignored", alert, ignored.reason.sentence(alert.cluster().unwrap_or_default()))
        }
    };
    let (kind, alert, why) = what;
    let name = alert.alertname().unwrap_or("?");
    let told = format!("{name} {} since {}", alert.status.as_str(), seconds(alert.starts_at));
    [
        record.seq.to_string(),
        time(record.at.wall),
        kind.to_owned(),
        alert.cluster().unwrap_or("-").to_owned(),
        plain(&told),
        plain(&why),
    ]
}

/// What others wrote must not move the terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn time(wall: Wall) -> String {
    let micros = (wall.as_seconds() * 1e6) as i64;
    Timestamp::from_microsecond(micros).map_or_else(|_| "?".to_owned(), seconds)
}

fn seconds(at: Timestamp) -> String {
    let whole = Timestamp::from_second(at.as_second()).unwrap_or(at);
    whole.to_string()
}

fn table(rows: Vec<[String; 6]>, with_head: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if with_head {
        table.set_header(["SEQ", "TIME", "KIND", "CLUSTER", "ALERT", "MORE"]);
    }
    // A pipe gets every line whole.
    if io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    for row in rows {
        table.add_row(row);
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_to_the_second_in_utc() {
        assert_eq!(time(Wall::from_seconds(1_795_393_580.9)), "2026-11-23T00:26:20Z");
        assert_eq!(seconds("2026-11-23T02:26:20.678+02:00".parse().unwrap()), "2026-11-23T00:26:20Z");
    }

    #[test]
    fn nothing_that_others_wrote_moves_the_cursor() {
        assert_eq!(plain("a\u{1b}[2J\nb"), "a\u{fffd}[2J\u{fffd}b");
    }
}
