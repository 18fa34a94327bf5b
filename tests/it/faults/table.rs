//! `docs/fault-matrix.md`: what each row raised and how soon, written by the run itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::row::{Measured, Row};
use crate::fixture::{ROOT, update};
use crate::scaled::SCALE;

const FILE: &str = "docs/fault-matrix.md";

/// Prints a row, and puts it in the place of the one that was there where files are to be written anew.
pub fn note(row: &Row, measured: &Measured) {
    static FILE_LOCK: Mutex<()> = Mutex::new(());
    let line = line(row, measured);
    println!("{line}");
    if !update() {
        return;
    }
    let _alone = FILE_LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(ROOT).join(FILE);
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let mut rows: BTreeMap<(u32, String), String> = known.lines().filter_map(key_of).collect();
    rows.retain(|(_, name), _| name != row.name);
    rows.insert((row.fault, row.name.to_owned()), line);
    let rows: Vec<_> = rows.into_values().collect();
    std::fs::write(path, format!("{}{}\n", head(), rows.join("\n"))).expect("a file in docs");
}

fn head() -> String {
    format!(
        "# Faults and their alerts\n\n\
         Written by `UPDATE=1 make prove-faults` (`tests/it/faults/`): real servers, a real Prometheus and Alertmanager, \
         and the rules of `alerts/rules` with every duration divided by {}, scraped and evaluated each \
         {} s. These alerts came to a webhook, and no other did; all were told to be resolved after the fault was \
         healed.\n\n\
         *Fires*: seconds from the fault until the webhook had each alert. PostgreSQL's own waits, and thresholds in \
         seconds, are not divided. *Wakes*: of each alert that wakes a person or the engine, seconds since all of the fault was there, and \
         the bound that the run holds it to: a scrape, an evaluation, its `for`, its `group_wait`, a second, and what \
         PostgreSQL's own waits and thresholds in seconds take before. *Resolves*: seconds from the healing until \
         the last was told to be resolved.\n\n\
         | fault | row | made by | alerts | fires | wakes | resolves | commit, day |\n|---|---|---|---|---|---|---|---|\n",
        SCALE.factor,
        SCALE.scrape.as_secs(),
    )
}

fn line(row: &Row, measured: &Measured) -> String {
    let silent = measured.fired.is_empty();
    let joined = |words: Vec<String>| if silent { "none".to_owned() } else { words.join("<br>") };
    let alerts = joined(measured.fired.keys().cloned().collect());
    let fires = joined(measured.fired.values().map(|heard| format!("{heard:.1}")).collect());
    let wakes = measured.fired.keys().map(|alert| match measured.waking.get(alert) {
        Some((heard, bound)) => format!("{heard:.1} of {bound:.1}"),
        None => "–".to_owned(),
    });
    let wakes = joined(wakes.collect());
    let resolves = if silent { "none".to_owned() } else { format!("{:.1}", measured.resolved) };
    format!("| {} | {} | {} | {alerts} | {fires} | {wakes} | {resolves} | {} |", row.fault, row.name, row.how, build())
}

/// Number and name of the row that a line of the table is.
fn key_of(line: &str) -> Option<((u32, String), String)> {
    let mut cells = line.split('|').map(str::trim).skip(1);
    let fault = cells.next()?.parse().ok()?;
    Some(((fault, cells.next()?.to_owned()), line.to_owned()))
}

/// The commit and the day, in UTC.
pub fn build() -> String {
    let printed = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(ROOT).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    format!("{} {}", printed("git", &["rev-parse", "--short", "HEAD"]), printed("date", &["-u", "+%F"]))
}
