//! Runbook files from a person's side: a file on disk, and the one sentence that says what is wrong with it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pgvigil::assets;
use pgvigil::runbook::book::{BOUNDS, Book, Class, Limits, MAX_BYTES, Mode, Step, Target, Trigger};
use pgvigil::runbook::shelf::{Shelf, Source};
use proptest::prelude::*;
use url::Url;

use crate::fixture::ROOT;

/// What `check` says of a failover's guards.
pub const FAILOVER_GUARDS: &str = "guards of class failover: not_paused, clock, evidence_fresh, episode_current, alert_real, no_manager, manager_agrees, no_maintenance, \
     primary_gone, primary_well, standbys_agree, observers_agree, candidate_valid, position_settled, no_standby_streaming, loss_within_limit, nothing_lost, sync_kept, \
     replay_backlog, fence_ready, lock, block_after_run, one_at_a_time, alone";

/// Reads a text as the file of the runbook `X`.
fn parse(text: &str) -> Result<Book, String> {
    Book::parse(Path::new("X.md"), text).map_err(|error| error.to_string())
}

/// A runbook of class failover with these steps.
fn failover(more: &str) -> String {
    format!("---\nclass: failover\n{more}---\n# X\n")
}

/// Files that are no runbooks, and what is said of each.
fn mistakes() -> Vec<(String, &'static str)> {
    let front = |text: &str| format!("---\nclass: diagnose\n{text}---\n# X\n");
    let steps = |text: &str| failover(&format!("steps:\n{text}"));
    let fence = "  - fence: {argv: [/f], probe: [/p]}\n";
    let stop = "  - fence: {argv: [/f], probe: [/p], undo: [/u]}\n";
    let unstopped = "X.md:3:10: what is planned has one fence, which stops the primary, with a probe and an undo, and a promote after it: \
                     add what is missing, or remove planned";
    vec![
        // The file as a whole.
        (
            String::new(),
            "X.md:1:1: a runbook begins with front matter: a line of ---, keys such as class, and --- again",
        ),
        (
            "# X\n".into(),
            "X.md:1:1: a runbook begins with front matter: a line of ---, keys such as class, and --- again",
        ),
        (
            "---\nclass: diagnose\n".into(),
            "X.md:1:1: the front matter that begins here has no end: write --- on a line below it",
        ),
        (
            "---\nclass: diagnose\n---\n \n".into(),
            "X.md: there is nothing below the front matter: write the page that a person reads",
        ),
        (
            format!("---\nclass: diagnose\n---\n{}", "x".repeat(256 << 10)),
            "X.md: a runbook is at most 256 KiB long: is it the right file?",
        ),
        (
            format!("---\nclass: diagnose\n---\n{}", ">".repeat(250_000)),
            "X.md: the page becomes larger than 4096 KiB as HTML: make its tables and lists smaller",
        ),
        ("---\n---\n# X\n".into(), "X.md:1:1: class is missing: use diagnose, reversible, failover or human-only"),
        ("---\n- a\n---\n# X\n".into(), "X.md:2:1: a section of keys belongs here"),
        (
            front("alerts: [\"a\n"),
            "X.md:3:10: this is not YAML as it should be: check indentation, quotes and brackets",
        ),
        (front("limits: *nowhere\n"), "X.md:3:9: this alias names no anchor"),
        // Keys and words.
        (front("alert: [X]\n"), "X.md:3:1: alert is not a key here: did you mean alerts?"),
        (
            front("severity: critical\n"),
            "X.md:3:1: severity is not a key here: the keys are alerts, class, planned, mode, trigger, limits, guards, steps",
        ),
        (front("class: diagnose\n"), "X.md:3:1: class is set twice: keep one"),
        (
            "---\nclass: failver\n---\n# X\n".into(),
            "X.md:2:8: class is none that there is: use diagnose, reversible, failover or human-only",
        ),
        (front("mode: auto\n"), "X.md:3:7: mode is none that there is: use dry-run, manual or automatic"),
        (front("alerts: X\n"), "X.md:3:9: a list belongs here"),
        (
            front("alerts: [X, 'my alert']\n"),
            "X.md:3:13: this is no alert's name: 1 to 100 of A-Z, a-z, 0-9, dash and underscore, beginning with a letter",
        ),
        (
            front("alerts: [../X]\n"),
            "X.md:3:10: this is no alert's name: 1 to 100 of A-Z, a-z, 0-9, dash and underscore, beginning with a letter",
        ),
        (front("alerts: [X, Y, X]\n"), "X.md:3:16: alerts names X twice: keep one"),
        (front("trigger: [webhook]\n"), "X.md:3:11: trigger is none that there is: use alert or observation"),
        (front("trigger: []\n"), "X.md:3:10: trigger is empty: use alert, observation or both, or remove it"),
        (front("trigger: [alert, alert]\n"), "X.md:3:18: trigger names alert twice: keep one"),
        (
            front("trigger: [observation]\n"),
            "X.md:3:11: trigger can be observation only where class is failover: use alert, or remove it",
        ),
        (
            front("guards: [quorum]\n"),
            "X.md:3:10: this version of pgvigil has no guards that can be added to those of the class: remove it",
        ),
        // Switchovers.
        (
            front("planned: true\n"),
            "X.md:3:10: planned can be true only where class is failover: use that class, or remove it",
        ),
        (
            failover(&format!("planned: true\ntrigger: [observation]\nsteps:\n{stop}  - promote: {{}}\n")),
            "X.md:4:10: people alone start what is planned: remove trigger, or planned",
        ),
        (failover("planned: true\n"), unstopped),
        (failover(&format!("planned: true\nsteps:\n{stop}")), unstopped),
        (failover(&format!("planned: true\nsteps:\n{fence}  - promote: {{}}\n")), unstopped),
        (failover(&format!("planned: true\nsteps:\n{fence}{stop}  - promote: {{}}\n")), unstopped),
        // Limits.
        (
            front("limits: {max_loss_bytes: 1MB}\n"),
            "X.md:3:26: limits.max_loss_bytes is not a number of bytes such as 1048576, or 0",
        ),
        (
            front("limits: {max_loss_bytes: -1}\n"),
            "X.md:3:26: limits.max_loss_bytes is not a number of bytes such as 1048576, or 0",
        ),
        (
            front("limits: {max_evidence_age: 10}\n"),
            "X.md:3:28: limits.max_evidence_age has no unit: write 10s or 10ms",
        ),
        (front("limits: {hang_limit: 100ms}\n"), "X.md:3:22: limits.hang_limit is too short: the least is 500ms"),
        (front("limits: {block_after_run: 200h}\n"), "X.md:3:27: limits.block_after_run is too long: the most is 168h"),
        (
            front("limits: {restart_grace: soon}\n"),
            "X.md:3:25: limits.restart_grace is not a duration such as 500ms, 2s or 1m",
        ),
        (front("limits: {max_loss: 1}\n"), "X.md:3:10: max_loss is not a key here: did you mean max_loss_bytes?"),
        // Steps.
        (front("steps: {fence: {}}\n"), "X.md:3:8: a list belongs here"),
        (
            steps("  - stop: {}\n"),
            "X.md:4:5: stop is not a key here: the keys are fence, promote, delegate, repoint, run, sql, wait, verify",
        ),
        (
            steps("  - promote:\n"),
            "X.md:4:5: this step does nothing: write fence, promote, delegate, repoint, run, sql, wait or verify, with {} if it needs no keys",
        ),
        (
            steps("  - promote: {}\n    repoint: {}\n"),
            "X.md:4:5: this step does two things: write a step, with its own dash, for each",
        ),
        (steps("  - promote\n"), "X.md:4:5: a section of keys belongs here"),
        (steps("  - fence: {probe: [/p]}\n"), "X.md:4:12: fence has no argv: name the program to run"),
        (steps("  - fence: {argv: []}\n"), "X.md:4:19: argv of fence is empty: name the program to run"),
        (
            steps("  - fence: {argv: [fence]}\n"),
            "X.md:4:20: argv of fence must begin with the whole path of a program: no shell looks for it",
        ),
        (steps("  - fence: {argv: /f}\n"), "X.md:4:19: a list belongs here"),
        (
            steps("  - fence: {argv: [/f], probe: [sh, -c, x]}\n"),
            "X.md:4:33: probe of fence must begin with the whole path of a program: no shell looks for it",
        ),
        (steps("  - fence: {argv: [/f], timeout: 0s}\n"), "X.md:4:34: timeout of fence is too short: the least is 1s"),
        (steps("  - fence: {argv: [/f], idempotent: yes}\n"), "X.md:4:37: true or false belongs here"),
        (steps("  - promote: {timeout: 1h}\n"), "X.md:4:24: timeout of promote is too long: the most is 10m"),
        (steps("  - delegate: {timeout: 2h}\n"), "X.md:4:25: timeout of delegate is too long: the most is 1h"),
        (
            steps("  - delegate: {}\n  - repoint: {}\n"),
            "X.md:5:5: repoint comes after delegate, which the cluster manager does whole: remove one of them",
        ),
        (
            steps("  - wait: {for: 1s}\n  - delegate: {}\n"),
            "X.md:5:5: delegate comes first: where the cluster manager refuses, nothing was done then",
        ),
        (
            failover("mode: automatic\nsteps: [delegate: {}]\n"),
            "X.md:3:7: mode cannot be automatic where a failover is delegated, since Patroni looks neither at lag nor at timelines \
             then: use manual, or set planned",
        ),
        (steps("  - promote: {node: b}\n"), "X.md:4:15: node is not a key here: the keys are timeout"),
        (
            steps(&format!("  - promote: {{}}\n{fence}")),
            "X.md:5:5: fence comes after promote, when two nodes may write already: put it before",
        ),
        (steps("  - promote: {}\n  - promote: {}\n"), "X.md:5:5: a runbook promotes once: remove the second promote"),
        (steps("  - repoint: {}\n"), "X.md:4:5: repoint has no promote before it, and so no new primary: put it after"),
        (steps("  - run: {argv: [/r]}\n"), "X.md:4:10: run has no name: say what it is called in reports"),
        (
            steps("  - run: {name: 'a b', argv: [/r]}\n"),
            "X.md:4:17: this name cannot stand in reports: 1 to 100 of A-Z, a-z, 0-9, dash and underscore, beginning with a letter",
        ),
        (steps("  - run: {name: a}\n"), "X.md:4:10: run a has no argv: name the program to run"),
        (
            steps("  - run: {name: a, argv: [/r]}\n  - run: {name: a, argv: [/s]}\n"),
            "X.md:5:5: two steps are called a: rename one",
        ),
        (
            steps(&format!("  - run: {{name: a, argv: [/r{}]}}\n", ", x".repeat(64))),
            "X.md:4:26: argv of run a has more than 64 arguments: use a script",
        ),
        (
            steps("  - sql: {statement: CHECKPOINT}\n"),
            "X.md:4:10: sql does not say where: set on to primary, candidate or standbys",
        ),
        (
            steps("  - sql: {on: all, statement: CHECKPOINT}\n"),
            "X.md:4:15: on of sql is none that there is: use primary, candidate or standbys",
        ),
        (steps("  - sql: {on: primary, statement: ' '}\n"), "X.md:4:10: sql has no statement: write one"),
        (steps("  - wait: {}\n"), "X.md:4:11: wait does not say how long: set for, such as 10s"),
        (steps("  - wait: {for: 2h}\n"), "X.md:4:17: for of wait is too long: the most is 1h"),
        (
            steps("  - verify: {one_writable: false}\n"),
            "X.md:4:13: verify looks at nothing: set one_writable to true, standbys_streaming_within, or both",
        ),
        (
            steps(&"  - wait: {for: 1s}\n".repeat(101)),
            "X.md:104:5: a runbook has at most 100 steps: let a hook do more",
        ),
        (
            steps(&format!("  - sql: {{on: standbys, statement: \"{}\"}}\n", "SELECT 1;".repeat(1800)).repeat(3)),
            "X.md:6:5: the steps are longer than 32768 bytes together: let a hook do more",
        ),
        // Class, mode and steps together.
        (
            front(&format!("steps:\n{fence}")),
            "X.md:4:5: fence is for class failover: use that class, or remove the step",
        ),
        (
            "---\nclass: human-only\nsteps:\n  - wait: {for: 1s}\n---\n# X\n".into(),
            "X.md:4:5: a runbook of class human-only has no steps: remove them, or use another class",
        ),
        (
            "---\nclass: human-only\nmode: manual\n---\n# X\n".into(),
            "X.md:3:7: mode cannot be manual where class is human-only: remove it",
        ),
        (front("mode: manual\n"), "X.md:3:7: mode is manual and there are no steps: write them, or remove mode"),
        (
            failover("mode: automatic\nsteps: [promote: {}]\n"),
            "X.md:3:7: mode can be automatic only with a fence that has a probe, before the promotion: add it, or use manual",
        ),
        (
            failover("mode: automatic\nsteps: [fence: {argv: [/f]}, promote: {}]\n"),
            "X.md:3:7: mode can be automatic only with a fence that has a probe, before the promotion: add it, or use manual",
        ),
    ]
}

#[test]
fn each_mistake_is_one_sentence_that_says_where_and_what_to_do() {
    let cases = mistakes();
    assert!(cases.len() >= 60, "{}", cases.len());
    let mut wrong = Vec::new();
    for (text, expected) in cases {
        let said = parse(&text).map_or_else(|error| error, |book| format!("{:?}", book.steps));
        if said != expected {
            wrong.push(format!("{said}\n  and not\n{expected}\n  in\n{}", text.get(..200).unwrap_or(&text)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_file_is_called_as_its_page_is() {
    for name in ["a b.md", ".md", "../é.md", "1.md", "X.Y.md", &format!("{}.md", "X".repeat(101))] {
        let error = Book::parse(Path::new(name), "---\nclass: diagnose\n---\n# X\n").unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name}: a runbook's file is called by an alert: ")), "{error}");
    }
}

#[test]
fn a_whole_file_is_typed() {
    let book = |name: &str| {
        let path = Path::new(ROOT).join("tests/fixtures/runbooks").join(name);
        Book::parse(&path, &fs::read_to_string(&path).unwrap()).unwrap()
    };
    let seconds = Duration::from_secs;
    let found = book("PostgresPrimaryUnreachable.md");
    assert_eq!((found.name.as_str(), &found.alerts[..]), ("PostgresPrimaryUnreachable", &[found.name.clone()][..]));
    assert_eq!((found.class, found.mode), (Class::Failover, Mode::Manual));
    assert_eq!(found.triggers, [Trigger::Alert, Trigger::Observation]);
    let limits = Limits {
        max_loss_bytes: 65536,
        max_evidence_age: seconds(5),
        block_after_run: seconds(7200),
        hang_limit: seconds(4),
        restart_grace: seconds(90),
    };
    assert_eq!(found.limits, limits);
    let [fence, promote, repoint, run, sql, wait, verify] = &found.steps[..] else { panic!("{:?}", found.steps) };
    let Step::Fence(hook) = fence else { panic!("{fence:?}") };
    assert_eq!(hook.argv, ["/etc/pgvigil/hooks/fence-old-primary", "now"]);
    assert_eq!(hook.probe.as_deref(), Some(&["/etc/pgvigil/hooks/is-fenced".to_owned()][..]));
    assert_eq!((hook.timeout, hook.idempotent), (seconds(20), true));
    assert_eq!(promote, &Step::Promote { timeout: seconds(60) });
    assert_eq!(repoint, &Step::Repoint { timeout: seconds(30) });
    let Step::Run { name, hook } = run else { panic!("{run:?}") };
    assert_eq!((name.as_str(), hook.timeout, hook.idempotent), ("repoint-clients", seconds(30), true));
    let statement = "CHECKPOINT".to_owned();
    assert_eq!(sql, &Step::Sql { on: Target::Candidate, statement, timeout: seconds(30), idempotent: false });
    assert_eq!(wait, &Step::Wait(Duration::from_millis(1500)));
    assert_eq!(verify, &Step::Verify { one_writable: true, standbys_streaming_within: Some(seconds(120)) });
    let headings: Vec<_> = found.article.headings.iter().map(|heading| heading.text.as_str()).collect();
    assert_eq!(headings, ["PostgresPrimaryUnreachable", "Meaning", "Mitigation"]);

    let planned = parse(&failover(
        "planned: true\nmode: automatic\nsteps: [fence: {argv: [/f], probe: [/p], undo: [/u]}, promote: {}]\n",
    ));
    let planned = planned.unwrap();
    assert!(planned.planned && planned.triggers.is_empty() && !found.planned, "{planned:?}");
    let Step::Fence(hook) = &planned.steps[0] else { panic!("{planned:?}") };
    assert_eq!(hook.undo.as_deref(), Some(&["/u".to_owned()][..]));

    let least = book("Switchover.md");
    assert_eq!((least.class, least.mode, least.triggers), (Class::HumanOnly, Mode::DryRun, vec![Trigger::Alert]));
    assert_eq!(least.limits, Limits::default());
    assert!(least.alerts.is_empty() && least.steps.is_empty());
    let windows = "---\r\nclass: human-only\r\n---\r\n# X\r\n";
    assert_eq!(parse(windows).unwrap().article.html, "<h1 id=\"x\">X</h1>\n");
}

/// A directory of its own, gone at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pgvigil-runbooks-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn sub(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// What is said of these directories, with our own path cut out.
    fn said(&self, dirs: &[PathBuf]) -> String {
        let said = Shelf::read(dirs).map_or_else(|error| error.to_string(), |shelf| shelf.summary().join("\n"));
        said.replace(self.0.to_str().unwrap(), "D")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(dir: &Path, name: &str, alerts: &str) {
    fs::write(dir.join(name), format!("---\nalerts: [{alerts}]\nclass: diagnose\n---\n# {name} of {alerts}\n"))
        .unwrap();
}

#[test]
fn the_later_directory_counts() {
    let dir = Dir::new("later");
    let (one, two) = (dir.sub("one"), dir.sub("two"));
    write(&one, "A.md", "A");
    write(&one, "B.md", "B, C");
    write(&two, "Ours.md", "A, C");
    // Not runbooks.
    write(&two, ".hidden.md", "A");
    write(&two, "notes.txt", "A");
    dir.sub("two/deeper");
    write(&two.join("deeper"), "A.md", "A");
    // As Kubernetes mounts a ConfigMap.
    fs::create_dir(two.join("..data")).unwrap();
    write(&two.join("..data"), "Linked.md", "");
    symlink("..data/Linked.md", two.join("Linked.md")).unwrap();

    let built_in = assets::runbooks().len();
    let shelf = Shelf::read(&[one.clone(), two.clone()]).unwrap();
    for (key, name, source) in [
        ("A", "Ours", two.join("Ours.md")),
        ("B", "B", one.join("B.md")),
        ("C", "Ours", two.join("Ours.md")),
        ("Linked", "Linked", two.join("Linked.md")),
    ] {
        let entry = shelf.find(key).unwrap();
        assert_eq!((entry.book.name.as_str(), &entry.source), (name, &Source::File(source)), "{key}");
    }
    assert_eq!(shelf.entries().len(), built_in + 3, "nobody can find A.md any more");
    assert_eq!(
        dir.said(&[one.clone(), two]),
        format!(
            "{} runbooks\nrunbook B is D/one/B.md\nrunbook Linked is D/two/Linked.md\n\
             runbook Ours is D/two/Ours.md, in place of D/one/A.md as the page of A\n\
             runbooks with steps: 1\n{FAILOVER_GUARDS}",
            built_in + 3
        )
    );
    write(&one, "D.md", "C");
    assert_eq!(
        dir.said(&[one]),
        "D/one/D.md: B and this are both the page of C: rename one, or take the alert out of one"
    );
}

#[test]
fn a_file_takes_the_place_of_a_built_in_page() {
    let Some(one) = assets::runbooks().into_iter().next() else { return };
    let dir = Dir::new("built-in");
    let name = one.stem();
    write(&dir.0, &format!("{name}.md"), name);
    let shelf = Shelf::read(std::slice::from_ref(&dir.0)).unwrap();
    assert_eq!(shelf.entries().len(), assets::runbooks().len());
    assert_eq!(shelf.find(name).unwrap().source, Source::File(dir.0.join(format!("{name}.md"))));
    let line = format!("runbook {name} is D/{name}.md, in place of the built-in page of {name}");
    assert!(dir.said(std::slice::from_ref(&dir.0)).lines().any(|said| said == line), "{line}");
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let dir = Dir::new("bad");
    let case = |name: &str, make: &dyn Fn(&Path)| {
        let case = dir.sub(name);
        make(&case);
        dir.said(&[case])
    };
    assert_eq!(
        dir.said(&[dir.0.join("none")]),
        "D/none: this directory of runbook_dirs cannot be read: No such file or directory (os error 2); make it readable, or remove it from the config"
    );
    assert_eq!(
        case("broken", &|dir| fs::write(dir.join("X.md"), "---\nclass: diagnose\nmod: manual\n---\n# X\n").unwrap()),
        "D/broken/X.md:3:1: mod is not a key here: did you mean mode?"
    );
    assert_eq!(
        case("huge", &|dir| fs::write(dir.join("X.md"), "x".repeat(MAX_BYTES as usize + 1)).unwrap()),
        "runbook D/huge/X.md is larger than 256 KiB: is it the right file?"
    );
    assert_eq!(
        case("loop", &|dir| symlink("X.md", dir.join("X.md")).unwrap()),
        "runbook D/loop/X.md cannot be read: Too many levels of symbolic links (os error 40)"
    );
    assert_eq!(
        case("endless", &|dir| symlink("/dev/zero", dir.join("X.md")).unwrap()),
        "D/endless/X.md: this is no file, and its name is that of a runbook: rename or remove it"
    );
    assert_eq!(
        case("directory", &|dir| fs::create_dir(dir.join("X.md")).unwrap()),
        "D/directory/X.md: this is no file, and its name is that of a runbook: rename or remove it"
    );
    assert_eq!(
        case("binary", &|dir| fs::write(dir.join("X.md"), b"\xff").unwrap()),
        "runbook D/binary/X.md is not UTF-8 text"
    );
    assert_eq!(
        case("dangling", &|dir| symlink("none", dir.join("X.md")).unwrap()),
        "runbook D/dangling/X.md does not exist"
    );
    assert_eq!(
        case("many", &|dir| (0..=1_000).for_each(|n| fs::write(dir.join(format!("X{n}.md")), "").unwrap())),
        "D/many: more than 1000 runbooks are here: is it the right directory?"
    );
    // A directory that leads into itself is not followed.
    let around = dir.sub("around");
    write(&around, "X.md", "X");
    symlink(".", around.join("again")).unwrap();
    assert_eq!(Shelf::read(&[around]).unwrap().entries().len(), assets::runbooks().len() + 1);
}

#[test]
fn check_counts_the_runbooks_and_names_what_is_wrong_with_one() {
    let dir = Dir::new("check");
    let books = dir.sub("books");
    let config = dir.0.join("pgvigil.yml");
    fs::write(&config, "runbook_dirs: [books]\nclusters: [{name: c, nodes: [{name: a, dsn: host=db1 user=m}]}]\n")
        .unwrap();
    let check = || {
        let output =
            Command::new(env!("CARGO_BIN_EXE_pgvigil")).arg("check").arg("--config").arg(&config).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), said.replace(dir.0.to_str().unwrap(), "D"))
    };
    let built_in = assets::runbooks().len();
    assert_eq!(
        check(),
        (
            Some(0),
            format!(
                "D/pgvigil.yml is good:\n  c/a at db1:5432, sslmode prefer\n  {built_in} runbooks\n  \
                 runbooks with steps: 1\n  {FAILOVER_GUARDS}\n"
            )
        )
    );
    fs::write(books.join("Ours.md"), failover("steps: [wait: {for: 1s}]\n")).unwrap();
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");
    for line in [
        format!("  {} runbooks", built_in + 1),
        "  runbook Ours is D/books/Ours.md".to_owned(),
        "  runbooks with steps: 2".to_owned(),
    ] {
        assert!(said.lines().any(|found| found == line), "{line} in {said}");
    }
    fs::write(books.join("Bad.md"), "---\nclass: [\n---\n# X\n").unwrap();
    let bad = "pgvigil: D/books/Bad.md:2:8: one value belongs here\n";
    assert_eq!(check(), (Some(2), bad.to_owned()));
}

#[test]
fn the_document_says_what_there_is() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/runbooks.md")).unwrap();
    let mut blocks = page.split("```markdown\n").skip(1).filter_map(|rest| rest.split("```").next());
    let book = Book::parse(Path::new("PostgresPrimaryUnreachable.md"), blocks.next().unwrap()).unwrap();
    assert_eq!((book.limits, book.steps.len(), blocks.next()), (Limits::default(), 5, None));
    let first_cells: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let words = Class::ALL.iter().map(|(word, _)| *word).chain(Mode::ALL.iter().map(|(word, _)| *word));
    let steps = ["fence", "promote", "delegate", "repoint", "run", "sql", "wait", "verify"];
    let keys = ["alerts", "class", "planned", "mode", "trigger", "limits.max_loss_bytes"].into_iter();
    let bounded = BOUNDS.iter().map(|(key, least, most)| {
        let row = page.lines().find(|line| line.starts_with(&format!("| `limits.{key}` |"))).unwrap();
        let show = |duration: &Duration| match duration.as_secs() {
            0 => format!("{}ms", duration.as_millis()),
            hours if hours % 3600 == 0 => format!("{}h", hours / 3600),
            minutes if minutes % 60 == 0 => format!("{}m", minutes / 60),
            seconds => format!("{seconds}s"),
        };
        assert!(row.contains(&format!(" {} to {} |", show(least), show(most))), "{row}");
        format!("limits.{key}")
    });
    let bounded: Vec<_> = bounded.collect();
    let keys = keys.chain(bounded.iter().map(String::as_str)).chain(["guards", "steps"]);
    let expected: Vec<_> = keys.chain(words).chain(steps).collect();
    assert_eq!(first_cells, expected);
}

/// The parts of a page that somebody reads who was woken by its alert.
const SECTIONS: [&str; 8] = [
    "Meaning",
    "Impact",
    "First 60 seconds",
    "Diagnosis",
    "Mitigation",
    "When not to act",
    "Verify recovery",
    "Known false alarms",
];

#[test]
fn every_built_in_page_has_what_whoever_is_woken_needs() {
    for asset in assets::runbooks() {
        let book = Book::parse(Path::new(asset.path), asset.text).unwrap();
        assert_eq!(book.mode, Mode::DryRun, "{}: what acts is for whoever runs it to allow", book.name);
        let headings = |level| {
            let of_level = book.article.headings.iter().filter(move |heading| heading.level == level);
            of_level.map(|heading| heading.text.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(headings(1), [book.name.as_str()]);
        if book.alerts.is_empty() {
            continue;
        }
        assert!(book.alerts.contains(&book.name), "{}: the file is called by its alert", book.name);
        let found: Vec<_> = headings(2).into_iter().filter(|section| SECTIONS.contains(section)).collect();
        assert_eq!(found, SECTIONS, "{}", book.name);
    }
}

proptest! {
    /// A whole file, cut and mended at random.
    #[test]
    fn no_damage_makes_it_panic_or_lets_html_through(
        cuts in prop::collection::vec((0.0..1.0f64, 0..40usize, "[-:{}\\[\\]&*!|>'\"%@`#?~<>()\n\t a-z0-9]{0,8}"), 1..8),
    ) {
        let good = include_str!("../fixtures/runbooks/PostgresPrimaryUnreachable.md");
        let hostile = include_str!("../fixtures/runbooks/Hostile.md").split("---\n").last().unwrap();
        let mut text: Vec<char> = format!("{good}{hostile}").chars().collect();
        for (at, len, piece) in cuts {
            let start = (at * text.len() as f64) as usize;
            let end = (start + len).min(text.len());
            text.splice(start..end, piece.chars());
        }
        let text: String = text.into_iter().collect();
        if let Ok(book) = parse(&text) {
            let html = book.article.html.to_lowercase();
            for bad in ["<script", "<img", "<details"] {
                prop_assert!(!html.contains(bad), "{} in {}", bad, html);
            }
            // As a browser reads them, which knows of tabs and letters in between.
            let here = Url::parse("http://localhost:10187/runbooks/X").unwrap();
            for link in html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let scheme = here.join(&link.replace("&amp;", "&")).map(|to| to.scheme().to_owned());
                prop_assert!(scheme.is_err() || matches!(scheme.as_deref(), Ok("http" | "https")), "{} in {}", link, html);
            }
        }
    }
}
