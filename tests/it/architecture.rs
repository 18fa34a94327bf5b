//! The layers of ARCHITECTURE.md, held against what the sources import.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, lowest first: path prefixes below `src/`. The longest prefix that fits decides.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "vocabulary",
        &[
            "clock",
            "nearest",
            "pg/lsn",
            "pg/records",
            "pg/version",
            "pg/wal_file",
            "pg/failure",
            "pg/trail",
            "metric/family",
            "metric/sample",
            "metric/histogram",
            "metric/native",
        ],
    ),
    (
        "pure",
        &[
            "collector",
            "cluster",
            "doctor",
            "metric/catalog",
            "metric/own",
            "metric/fleet",
            "config",
            "assets",
            "page",
            "runbook/book",
            "runbook/markdown",
            "runbook/manager",
            "archive_watch/archive_dir",
            "archive_watch/contents",
            "archive_watch/history_file",
            "archive_watch/hostside",
            "archive_watch/line",
            "archive_watch/time_to_full",
            "archive_watch/waiting",
            "http/access/decision",
            "alertmanager",
            "metric/webhook",
            "metric/runbooks",
            "runbook/candidate",
            "runbook/chain",
            "runbook/evidence",
            "runbook/guard",
            "runbook/record",
            "runbook/run",
            "runbook/seen",
            "runbook/runs",
            "runbook/story",
            "runbook/decide",
            "runbook/plan",
            "runbook/verdict",
            "status/answer",
            "status/detail",
            "status/text",
            "status/view",
            "server_log",
        ],
    ),
    (
        "adapters",
        &[
            "pg/conninfo",
            "pg/passfile",
            "pg/dsn",
            "pg/tls",
            "pg/connect_error",
            "pg/lookup",
            "pg/session",
            "pg/admin",
            "pg/repointing",
            "metric/exposition",
            "config/mod",
            "config/reload",
            "assets/export",
            "runbook/shelf",
            "patience",
            "peer",
            "archive_watch",
            "server_log/follow",
            "log",
            "systemd",
            "runbook/journal",
            "runbook/lock",
            "runbook/manager/patroni/client",
        ],
    ),
    ("drivers", &["observe", "http", "lab", "runbook/intake", "runbook/step", "runbook/engine"]),
    (
        "wiring",
        &["app", "demo", "examine", "history", "runs", "status", "maintenance", "healthcheck", "cli", "main", "lib"],
    ),
];

/// Modules that only list others.
const LISTS: &[&str] = &["pg/mod", "metric/mod", "runbook/mod", "runbook/step/mod"];

/// What pure code and vocabulary do not name.
const IMPURE: &[&str] = &[
    "tokio",
    "axum",
    "prometheus_client",
    "prost",
    "std::fs",
    "std::process",
    "std::net::Tcp",
    "Moment::now",
    "Mono::now",
    "Wall::now",
    "Instant::now",
    "SystemTime",
];

/// Defines the clocks; reading them is for others.
const CLOCK: &str = "clock";

pub fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, found),
                false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
                false => {}
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().with_extension("").to_str().unwrap().to_owned();
    found.iter().map(|path| (name(path), production(&fs::read_to_string(path).unwrap()))).collect()
}

/// The source without its tests and comments.
fn production(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

fn is_test(module: &str) -> bool {
    module.ends_with("/tests") || module.contains("/tests/")
}

fn layer_of(module: &str) -> Option<usize> {
    let fits = |prefix: &str| module == prefix || module.starts_with(&format!("{prefix}/"));
    let layers = LAYERS.iter().enumerate();
    let all = layers.flat_map(|(layer, (_, prefixes))| prefixes.iter().map(move |prefix| (layer, *prefix)));
    all.filter(|(_, prefix)| fits(prefix)).max_by_key(|(_, prefix)| prefix.len()).map(|(layer, _)| layer)
}

/// The modules of ours that a source names by `crate::…`.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let end = rest.find([';', '(', ')', '>', ',', ' ', '\n']).unwrap_or(rest.len());
        let path = &rest[..end];
        match path.split_once("::{") {
            Some((before, _)) => {
                let inside = &rest[before.len() + 3..];
                let inside = &inside[..inside.find('}').unwrap_or(inside.len())];
                found.extend(inside.split(',').map(|item| format!("{before}/{}", item.trim()).replace("::", "/")));
            }
            None => found.push(path.replace("::", "/")),
        }
    }
    found
}

#[test]
fn every_source_has_a_place_in_a_layer() {
    for (module, _) in sources() {
        assert!(layer_of(&module).is_some() || LISTS.contains(&module.as_str()), "src/{module}.rs is in no layer");
    }
}

#[test]
fn imports_run_one_way() {
    for (module, text) in sources().iter().filter(|(module, _)| !is_test(module)) {
        let Some(layer) = layer_of(module) else { continue };
        for import in imports(text) {
            let Some(imported) = layer_of(&import) else { continue };
            let (own, other) = (LAYERS[layer].0, LAYERS[imported].0);
            assert!(imported <= layer, "src/{module}.rs ({own}) imports {import} ({other})");
        }
    }
}

#[test]
fn pure_code_touches_nothing_and_reads_no_clock() {
    for (module, text) in sources().iter().filter(|(module, _)| !is_test(module) && module != CLOCK) {
        let pure = layer_of(module).is_some_and(|layer| layer <= 1);
        for word in IMPURE.iter().filter(|_| pure) {
            assert!(!text.contains(word), "src/{module}.rs is pure and names {word}");
        }
    }
}

#[test]
fn only_the_lab_and_hooks_spawn_and_only_the_session_connects() {
    for (module, text) in sources() {
        let may_spawn = ["lab/", "runbook/step/"].iter().any(|place| module.starts_with(place));
        assert!(may_spawn || !text.contains("Command::new"), "src/{module}.rs spawns a process");
        let may_connect = ["pg/session", "lab/"].iter().any(|place| module.starts_with(place));
        assert!(may_connect || !text.contains(".connect("), "src/{module}.rs connects");
    }
}

#[test]
fn the_lab_is_for_the_demo_and_the_tests_alone() {
    for (module, text) in sources() {
        if !["lab/", "demo", "main", "cli", "lib"].iter().any(|place| module.starts_with(place)) {
            assert!(!text.contains("crate::lab"), "src/{module}.rs uses the lab");
        }
    }
}

#[test]
fn files_stay_small() {
    let sizes: Vec<_> = sources().iter().map(|(module, text)| (text.lines().count(), module.clone())).collect();
    for (lines, module) in &sizes {
        assert!(*lines <= 500, "src/{module}.rs has {lines} lines: split it");
    }
}

#[test]
fn the_scan_sees_what_it_should() {
    let text =
        "use crate::pg::{lsn::Lsn, session::Session};\nuse crate::observe::Hub;\nfn f() { crate::http::serve() }";
    assert_eq!(imports(text), ["pg/lsn/Lsn", "pg/session/Session", "observe/Hub", "http/serve"]);
    assert_eq!(layer_of("pg/session"), Some(2));
    assert_eq!(layer_of("collector/recovery"), Some(1));
    assert_eq!(layer_of("unheard/of"), None);
}
