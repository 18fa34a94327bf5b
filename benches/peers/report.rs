//! The table that is printed, and committed by `--write`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use super::figures::{Spread, ratio};
use super::process;

/// Tables in Markdown, as they grow.
pub struct Report {
    text: String,
    missed: Vec<String>,
    /// What was checked out at the start: cargo has just built it, and it may be another one at the end.
    commit: String,
}

/// A bar that a figure is held to.
pub enum Bar {
    /// The figure itself is at most this.
    Most(f64),
    /// The figure is at most this part of the peer's.
    Part(f64),
    /// Nothing is asked.
    None,
}

impl Report {
    /// An empty one.
    pub fn new() -> Self {
        let commit = said_by("git", &["describe", "--always", "--dirty", "--abbrev=12"]);
        Self { text: String::new(), missed: Vec::new(), commit }
    }

    /// Begins a table.
    pub fn section(&mut self, title: &str) {
        let load = process::load();
        self.put(&format!(
            "\n## {title}\n\nLoad average at its start: {load}.\n\n\
             | figure | pgvigil | exporter | ratio | bar | met |\n|---|---|---|---|---|---|\n"
        ));
    }

    /// A sentence below a table.
    pub fn note(&mut self, text: &str) {
        self.put(&format!("\n{text}\n"));
    }

    /// A row of words, met or not.
    pub fn words(&mut self, figure: &str, ours: &str, theirs: &str, bar: &str, met: Option<bool>) {
        self.row(figure, ours, theirs, "–", bar, met);
    }

    /// A row of figures, held to a bar by their medians.
    pub fn figures(&mut self, figure: &str, ours: Spread, theirs: Option<Spread>, bar: &Bar) {
        let part = theirs.map(|theirs| ratio(ours.median, theirs.median));
        let (bar, met) = match bar {
            Bar::Most(most) => (format!("≤ {most}"), Some(ours.median <= *most)),
            Bar::Part(part) => {
                (format!("≤ 1/{:.0}", 1.0 / part), theirs.map(|theirs| ours.median <= theirs.median * part))
            }
            Bar::None => (String::new(), None),
        };
        let theirs = theirs.map_or_else(|| "–".to_owned(), |theirs| theirs.to_string());
        self.row(figure, &ours.to_string(), &theirs, part.as_deref().unwrap_or("–"), &bar, met);
    }

    fn row(&mut self, figure: &str, ours: &str, theirs: &str, ratio: &str, bar: &str, met: Option<bool>) {
        let verdict = match met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        if met == Some(false) {
            self.missed.push(format!("{figure}: {ours}, bar {bar}"));
        }
        self.put(&format!("| {figure} | {ours} | {theirs} | {ratio} | {bar} | {verdict} |\n"));
    }

    fn put(&mut self, text: &str) {
        print!("{text}");
        self.text.push_str(text);
    }

    /// Prints what was missed, and writes `docs/measured/bench-<date>.md` if asked to.
    pub fn finish(mut self, servers: &str, write: bool) -> anyhow::Result<()> {
        let summary = match self.missed.as_slice() {
            [] => "Every bar was met.".to_owned(),
            missed => format!("Missed:\n\n- {}", missed.join("\n- ")),
        };
        self.put(&format!("\n## Bars\n\n{summary}\n"));
        if write {
            let date = said_by("date", &["-u", "+%F"]);
            let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("docs/measured/bench-{date}.md"));
            let mut page = String::new();
            let commit = &self.commit;
            let cpus = std::thread::available_parallelism().map_or(0, usize::from);
            write!(
                page,
                "# pgvigil beside prometheus-postgres-exporter, {date}\n\nWritten by `cargo bench --bench peers -- --write` at commit {commit}. \
                 {servers}; {cpus} CPUs, shared with other work; all on loopback. Median (least–greatest) over rounds; \
                 the two take turns on the same servers. Read ratios and medians.\n{}",
                self.text
            )?;
            std::fs::write(&path, page)?;
            println!("\nwritten to {}", path.display());
        }
        Ok(())
    }
}

fn said_by(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
