//! The runbook pages: one for each alert and one for each procedure, complete, with names that exist and links that lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use pgvigil::metric::catalog;
use pgvigil::metric::family::{Family, Kind};
use pgvigil::runbook::book::{Book, Class, Limits, Mode, Step, Trigger};

use crate::fixture::ROOT;

const DIR: &str = "alerts/runbooks";
/// A page that is longer is not read at night.
const MOST_LINES: usize = 150;

const OF_ALERTS: &[&str] = &[
    "Meaning",
    "Impact",
    "First 60 seconds",
    "Diagnosis",
    "Mitigation",
    "When not to act",
    "Verify recovery",
    "Known false alarms",
];
/// Readers' questions may follow.
const OF_PROCEDURES: &[&str] = &["When", "Before", "Steps", "Undo", "Verify"];

/// The only page with steps: its alert is for the engine.
const WITH_STEPS: &str = "PostgresPrimaryUnreachable";

/// Labels whose values are words of a list.
const WORDS: &[&str] =
    &["state", "reason", "stage", "kind", "cause", "privilege", "collector", "bound", "known", "name", "upstream"];

/// One page.
pub struct Page {
    pub name: String,
    book: Book,
    text: String,
    pub blocks: Vec<Block>,
}

/// One block of code, without the indentation of the list that it stands in.
pub struct Block {
    pub language: String,
    pub section: String,
    pub line: usize,
    pub text: String,
}

/// Where and how a block runs: its first line, `-- on the primary, from 17, as superuser, changes: why`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub server: String,
    /// The lowest major that knows what it names.
    pub from: u32,
    pub as_superuser: bool,
    /// Whether it changes something.
    pub changes: bool,
    /// Whether it is asked again until it answers `t`.
    pub until: bool,
}

impl Block {
    /// Where it runs; an error where its first line does not say it.
    pub fn place(&self) -> Result<Place, String> {
        let first = self.text.lines().next().unwrap_or_default();
        let told = first.strip_prefix("-- on ").or_else(|| first.strip_prefix("# on "));
        let told = told.ok_or_else(|| format!("the first line is no place: {first}"))?;
        let told = told.split(": ").next().unwrap_or_default();
        let mut words = told.split(", ");
        let mut place = Place { server: words.next().unwrap_or_default().to_owned(), ..Place::default() };
        for word in words {
            match word.strip_prefix("from ").map(str::parse) {
                Some(Ok(major)) => place.from = major,
                None if word == "as superuser" => place.as_superuser = true,
                None if word == "changes" => place.changes = true,
                None if word == "until it says t" => place.until = true,
                _ => return Err(format!("{word} is no word of a place")),
            }
        }
        Ok(place)
    }

    /// The statements of a block of SQL, without comments.
    pub fn statements(&self) -> Vec<String> {
        let lines = self.text.lines().filter(|line| !line.trim_start().starts_with("--"));
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        text.split(";\n").map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
    }
}

impl Page {
    fn read(path: &Path) -> Self {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(path).unwrap();
        let book = Book::parse(path, &text).unwrap_or_else(|error| panic!("{error}"));
        let blocks = blocks(&name, &text);
        Self { name, book, text, blocks }
    }

    fn is_procedure(&self) -> bool {
        self.book.alerts.is_empty()
    }

    fn headings(&self, level: &str) -> Vec<&str> {
        let mut code = false;
        let mut is_heading = |line: &&str| {
            code ^= line.trim_start().starts_with("```");
            !code
        };
        self.text.lines().filter(|line| is_heading(line)).filter_map(|line| line.strip_prefix(level)).collect()
    }

    fn says(&self, what: &str) -> String {
        format!("{DIR}/{}.md: {what}", self.name)
    }
}

fn blocks(name: &str, text: &str) -> Vec<Block> {
    let (mut found, mut section) = (Vec::new(), String::new());
    let mut open: Option<(Block, usize)> = None;
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        match (&mut open, trimmed.strip_prefix("```")) {
            (None, Some(language)) => {
                let block = Block {
                    language: language.to_owned(),
                    section: section.clone(),
                    line: number + 1,
                    text: String::new(),
                };
                open = Some((block, line.len() - trimmed.len()));
            }
            (None, None) => {
                if let Some(heading) = line.strip_prefix("## ") {
                    heading.clone_into(&mut section);
                }
            }
            (Some(_), Some(_)) => found.extend(open.take().map(|(block, _)| block)),
            (Some((block, indent)), None) => {
                assert!(
                    trimmed.is_empty() || line.len() - trimmed.len() >= *indent,
                    "{name}:{}: indentation",
                    number + 1
                );
                block.text.push_str(line.get(*indent..).unwrap_or_default());
                block.text.push('\n');
            }
        }
    }
    assert!(open.is_none(), "{name}: a block has no end");
    found
}

/// All pages, by name.
pub fn pages() -> BTreeMap<String, Page> {
    let files = fs::read_dir(Path::new(ROOT).join(DIR)).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| Page::read(&path)).map(|page| (page.name.clone(), page)).collect()
}

/// The names of all alerts in the rules.
fn alerts() -> BTreeSet<String> {
    let files = fs::read_dir(Path::new(ROOT).join("alerts/rules")).unwrap().map(|entry| entry.unwrap().path());
    let texts: Vec<_> = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    let names = texts.iter().flat_map(|text| text.lines()).filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

#[test]
fn every_alert_has_its_page_and_every_page_its_alert() {
    let (alerts, pages) = (alerts(), pages());
    assert!(alerts.len() > 50, "the rules are read: {}", alerts.len());
    let of_alerts = pages.values().filter(|page| !page.is_procedure());
    let named: BTreeSet<_> = of_alerts
        .inspect(|page| assert_eq!(page.book.alerts, [page.name.as_str()], "{}", page.says("it is another alert's")))
        .map(|page| page.name.clone())
        .collect();
    assert_eq!(alerts.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new(), "alerts without a page");
    assert_eq!(named.difference(&alerts).collect::<Vec<_>>(), Vec::<&String>::new(), "pages without an alert");
}

#[test]
fn front_matter_acts_on_nothing_by_itself() {
    for page in pages().values() {
        let Book { class, mode, triggers, limits, steps, .. } = &page.book;
        assert_eq!(*mode, Mode::DryRun, "{}", page.says("mode"));
        assert_eq!(triggers[..], [Trigger::Alert], "{}", page.says("trigger"));
        assert_eq!(*limits, Limits::default(), "{}", page.says("limits"));
        let engine = page.name == WITH_STEPS;
        assert_eq!(*class == Class::Failover, engine, "{}", page.says("class"));
        assert!(!page.is_procedure() || *class == Class::HumanOnly, "{}", page.says("a procedure is for people"));
        let kinds: Vec<_> = steps.iter().map(Step::kind).collect();
        let wanted: &[&str] = if engine { &["fence", "promote", "repoint", "run", "verify"] } else { &[] };
        assert_eq!(kinds, wanted, "{}", page.says("steps"));
    }
}

#[test]
fn sections_are_there_in_order_and_none_is_empty() {
    for page in pages().values() {
        assert_eq!(page.headings("# "), [page.name.as_str()], "{}", page.says("its title is its name"));
        let sections = page.headings("## ");
        match page.is_procedure() {
            true => {
                let sections: Vec<_> = sections.into_iter().filter(|section| *section != "Questions").collect();
                assert_eq!(sections, OF_PROCEDURES, "{}", page.says("sections"));
            }
            false => assert_eq!(sections, OF_ALERTS, "{}", page.says("sections")),
        }
        for part in page.text.split("\n## ").skip(1) {
            let (heading, rest) = part.split_once('\n').unwrap_or((part, ""));
            assert!(!rest.trim().is_empty(), "{}", page.says(&format!("{heading} is empty")));
        }
        let lines = page.text.lines().count();
        assert!(lines <= MOST_LINES, "{}", page.says(&format!("{lines} lines")));
    }
}

#[test]
fn the_first_minute_only_reads() {
    for page in pages().values().filter(|page| !page.is_procedure()) {
        let first = page.blocks.iter().filter(|block| block.section == "First 60 seconds");
        let first: Vec<_> = first.collect();
        assert!((1..=5).contains(&first.len()), "{}", page.says("blocks of the first minute"));
        for block in first.iter().filter(|block| block.language == "sql") {
            let place = block.place().unwrap_or_default();
            assert!(!place.changes, "{}", page.says(&format!("line {} changes something", block.line)));
        }
    }
}

#[test]
fn a_mitigation_says_how_it_is_undone() {
    for page in pages().values().filter(|page| !page.is_procedure()) {
        let section = page.text.split("\n## Mitigation\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
        let steps = section.split('\n').filter(|line| line.starts_with(|first: char| first.is_ascii_digit())).count();
        assert!(steps >= 1, "{}", page.says("no numbered step"));
        let words = ["undo", "Undo"];
        assert!(words.iter().any(|word| section.contains(word)), "{}", page.says("no undo"));
    }
}

#[test]
fn blocks_say_where_they_run_and_scripts_can_be_read() {
    let mut scripts = Vec::new();
    for page in pages().values() {
        for block in &page.blocks {
            let place = format!("{DIR}/{}.md:{}", page.name, block.line);
            match block.language.as_str() {
                "sql" => {
                    let known = place_of(block).unwrap_or_else(|error| panic!("{place}: {error}"));
                    assert!(!known.changes || known.as_superuser, "{place}: pgvigil's role changes nothing");
                }
                "sh" => scripts.push((place, block.text.clone())),
                other => panic!("{place}: a block of {other:?}"),
            }
        }
    }
    assert!(scripts.len() > 80, "{}", scripts.len());
    for (place, script) in scripts {
        let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = bash.wait_with_output().unwrap();
        assert!(output.status.success(), "{place}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What a page tells to type, as far as it is our own program.
fn commands(page: &Page) -> Vec<String> {
    let scripts = page.blocks.iter().filter(|block| block.language == "sh").flat_map(|block| block.text.lines());
    let spans = page
        .text
        .lines()
        .filter(|line| !line.trim_start().starts_with("```"))
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    scripts.chain(spans).filter(|line| line.starts_with("pgvigil ")).map(str::to_owned).collect()
}

#[test]
fn commands_of_ours_are_understood() {
    let mut count = 0;
    for page in pages().values() {
        for command in commands(page) {
            count += 1;
            let script =
                format!("pgvigil() {{ '{}' \"$@\" --help >/dev/null; }}\n{command}", env!("CARGO_BIN_EXE_pgvigil"));
            let output = Command::new("bash").args(["-c", &script]).output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}", page.says(&format!("{command}: {told}")));
        }
    }
    assert!(count > 15, "{count}");
}

/// Where a block of SQL runs: on servers that there are.
fn place_of(block: &Block) -> Result<Place, String> {
    let place = block.place()?;
    match server(&place.server) {
        Some(_) => Ok(place),
        None => Err(format!("{} is no server", place.server)),
    }
}

/// Which kinds of servers a place means.
pub fn server(place: &str) -> Option<&'static [&'static str]> {
    match place {
        "the primary" | "the new primary" => Some(&["primary"]),
        "the standby" | "the candidate" | "the old primary" | "every standby" | "every other standby" => {
            Some(&["standby"])
        }
        "any node" => Some(&["primary", "standby"]),
        _ => None,
    }
}

#[test]
fn links_lead_to_pages_and_headings() {
    let pages = pages();
    let mut linked = BTreeSet::new();
    for page in pages.values() {
        for part in page.text.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            let (to, heading) = target.split_once('#').map_or((target, None), |(to, heading)| (to, Some(heading)));
            let there = pages.get(to).unwrap_or_else(|| panic!("{}", page.says(&format!("no page {target}"))));
            assert_ne!(there.name, page.name, "{}", page.says("a link to itself"));
            let slug = |text: &str| text.to_lowercase().replace(' ', "-");
            let found = heading.is_none_or(|wanted| there.headings("## ").iter().any(|text| slug(text) == wanted));
            assert!(found, "{}", page.says(&format!("no heading {target}")));
            linked.insert(to.to_owned());
        }
    }
    let alone = pages.values().filter(|page| page.is_procedure() && !linked.contains(&page.name));
    let alone: Vec<_> = alone.map(|page| page.name.as_str()).collect();
    assert!(alone.is_empty(), "procedures that no page leads to: {alone:?}");
}

/// The golden pages: what label values there are.
fn golden() -> String {
    let files = fs::read_dir(Path::new(ROOT).join("tests/golden")).unwrap().map(|entry| entry.unwrap().path());
    let mut text: String = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    // Reasons and settings that no golden page happens to have.
    let rows = |file: &str| fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
    for (file, family, label) in [
        ("docs/node-states.md", "pgvigil_node_connect_failure", "reason"),
        ("docs/settings.md", "pgvigil_setting", "name"),
    ] {
        for row in rows(file).lines().filter_map(|row| row.strip_prefix("| `")) {
            let word = row.split('`').next().unwrap_or_default();
            text.push_str(&format!("{family}{{{label}=\"{word}\"}} 1\n"));
        }
    }
    text
}

fn family<'a>(families: &[&'a Family], name: &str) -> Option<&'a Family> {
    let plain = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
    families.iter().copied().find(|family| {
        family.name == name || (family.kind == Kind::Histogram && plain.is_some_and(|plain| plain == family.name))
    })
}

/// Each `pgvigil_…` of a text with what stands in braces behind it.
fn metrics(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("pgvigil_") {
        let rest = &text[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let labels =
            rest[end..].strip_prefix('{').and_then(|labels| labels.split_once('}')).map_or("", |(labels, _)| labels);
        found.push((&rest[..end], labels));
    }
    found
}

#[test]
fn metrics_that_pages_name_are_in_the_catalogue_with_labels_and_values() {
    let families = catalog::families();
    let golden = golden();
    let mut count = 0;
    for page in pages().values() {
        for (name, labels) in metrics(&page.text) {
            let family =
                family(&families, name).unwrap_or_else(|| panic!("{}", page.says(&format!("no metric {name}"))));
            count += 1;
            for pair in labels.split(',').filter(|pair| !pair.is_empty()) {
                let (label, value) = pair.split_once('=').unwrap_or((pair, "…"));
                assert!(family.labels.contains(&label), "{}", page.says(&format!("{name} has no label {label}")));
                let value = value.trim_matches('"');
                if value == "…" || !WORDS.contains(&label) {
                    continue;
                }
                let wanted = format!("{label}=\"{value}\"");
                let stem = if name.starts_with("pgvigil_setting") { "pgvigil_setting" } else { family.name };
                let seen = golden.lines().any(|line| line.starts_with(stem) && line.contains(&wanted));
                assert!(seen, "{}", page.says(&format!("{name} has no {wanted}")));
            }
        }
    }
    assert!(count > 200, "{count}");
}

#[test]
fn the_reader_sees_what_it_should() {
    let text = "## A\n1. x\n\n   ```sql\n   -- on the primary, from 17, as superuser, changes: why, and so on\n   SELECT 1;\n\n   SELECT\n     2;\n   ```\n";
    let block = &blocks("x", text)[0];
    assert_eq!((block.section.as_str(), block.line, block.language.as_str()), ("A", 4, "sql"));
    assert_eq!(block.statements(), ["SELECT 1", "SELECT\n  2"]);
    let place = Place { server: "the primary".into(), from: 17, as_superuser: true, changes: true, until: false };
    assert_eq!(block.place(), Ok(place));
    assert_eq!(metrics("`pgvigil_a{b=\"c\"}` pgvigil_d."), [("pgvigil_a", "b=\"c\""), ("pgvigil_d", "")]);
    assert!(server("the moon").is_none());
}
