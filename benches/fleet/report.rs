//! The table that is printed, and written to `docs/measured/fleet.md` by `--write`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use super::figures::short;
use super::measure::{Figures, Times};

/// What was measured so far.
pub struct Report {
    version: String,
    commit: String,
    columns: Vec<(usize, Figures)>,
}

type Row = (&'static str, fn(&Figures) -> String);

const ROWS: [Row; 16] = [
    ("processor of pgvigil, % of a core", |it| short(it.watching)),
    ("with a compressed scrape each 15 s", |it| short(it.scraped)),
    ("resident memory, MB", |it| short(it.resident)),
    ("the most it was", |it| short(it.most_resident)),
    ("fast readings a second", |it| short(it.readings)),
    ("99 of 100 sent no later after they were due than, s", |it| short(it.late_p99)),
    ("later than a tenth of the interval, %", |it| short(100.0 * it.late_share)),
    ("all nodes up after, s", |it| short(it.up_after)),
    ("page, KB", |it| short(it.page as f64 / 1e3)),
    ("page compressed, KB", |it| short(it.page_gzip as f64 / 1e3)),
    ("page of one cluster, KB", |it| short(it.cluster_page as f64 / 1e3)),
    ("whole page made anew, ms", |it| both(&it.whole)),
    ("compressed too, ms", |it| both(&it.whole_gzip)),
    ("whole page after one cluster changed, ms", |it| both(&it.one_changed)),
    ("page of one cluster made anew, ms", |it| both(&it.one_cluster)),
    ("descriptors, of them connections to servers", |it| format!("{}, {}", it.descriptors, it.connections)),
];

fn both(times: &Times) -> String {
    format!("{} / {}; {}", short(times.median), short(times.p99), short(times.processor))
}

impl Report {
    /// An empty one, of servers of this version.
    pub fn new(version: impl ToString) -> Self {
        let commit = said_by("git", &["describe", "--always", "--dirty", "--abbrev=12"]);
        Self { version: version.to_string(), commit, columns: Vec::new() }
    }

    /// Takes in one fleet, and prints it.
    pub fn add(&mut self, nodes: usize, figures: Figures) {
        println!("\n{nodes} nodes, load {}", figures.load);
        for (what, cell) in ROWS {
            println!("  {what}: {}", cell(&figures));
        }
        self.columns.push((nodes, figures));
    }

    /// Prints the whole table, and writes it if asked to.
    pub fn finish(self, write: bool) -> anyhow::Result<()> {
        let mut text = String::new();
        let row = |cells: &mut dyn Iterator<Item = String>| {
            cells.fold(String::from("|"), |row, cell| format!("{row} {cell} |")) + "\n"
        };
        let heads = self.columns.iter().map(|(nodes, _)| format!("{nodes} nodes"));
        text.push_str(&row(&mut ["figure".to_owned()].into_iter().chain(heads)));
        text.push_str(&row(&mut (0..=self.columns.len()).map(|_| "---".to_owned())));
        for (what, cell) in ROWS {
            let cells = self.columns.iter().map(|(_, figures)| cell(figures));
            text.push_str(&row(&mut [what.to_owned()].into_iter().chain(cells)));
        }
        let loads = self.columns.iter().map(|(_, figures)| figures.load.clone());
        text.push_str(&row(&mut ["load average at the end".to_owned()].into_iter().chain(loads)));
        println!("\n{text}");
        if write {
            let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/measured/fleet.md");
            let date = said_by("date", &["-u", "+%F"]);
            let cpus = std::thread::available_parallelism().map_or(0, usize::from);
            let (version, commit) = (&self.version, &self.commit);
            let mut page = String::new();
            write!(
                page,
                "# pgvigil on many nodes\n\nMade by `make bench-fleet UPDATE=1` at {commit} on {date}. Clusters of a primary and two \
                 standbys, on six servers of PostgreSQL {version} at most, of which each is many nodes; readings each second, a collection each 10 s, \
                 a login each 15 s. {cpus} CPUs, shared with the servers and with other work: the load says how much. Times are \
                 median / p99 over 20 and, after the semicolon, the processor time of pgvigil meanwhile; on loopback, without TLS to the scraper.\n\n{text}"
            )?;
            std::fs::write(&path, page)?;
            println!("written to {}", path.display());
        }
        Ok(())
    }
}

fn said_by(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
