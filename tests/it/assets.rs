//! The alert bundle: what is compiled in is what lies in `alerts/`, and what is exported says the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgvigil::assets::export::{ExportError, Exported, Format, Options, export};
use pgvigil::assets::rule_file::{Base, Metadata, prometheus_rule, with_base};
use pgvigil::assets::{self, RUNBOOK_BASE};
use serde_json::Value;

use crate::fixture::ROOT;

const SAMPLE: &str = include_str!("../fixtures/rules/sample.yml");

/// A directory of its own that is not made yet, gone at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("pgvigil-assets-{name}-{}", std::process::id())))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The files below a directory but hidden ones, with their texts.
fn below(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap()) {
            let path = entry.path();
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if path.is_dir() {
                dirs.push(path);
            } else if !hidden {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// All that is compiled in, by the path that it is exported to.
fn bundle() -> BTreeMap<String, String> {
    let alerts = assets::all().into_iter().map(|asset| (asset.path.to_owned(), asset.text.to_owned()));
    let boards = assets::dashboards().into_iter();
    alerts.chain(boards.map(|asset| (format!("dashboards/{}", asset.path), asset.text.to_owned()))).collect()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("YAML")
}

/// The rule files: the bundle's, and one with all that people write.
fn rule_files() -> BTreeMap<String, String> {
    let bundle = assets::rules().into_iter().map(|asset| (asset.path.to_owned(), asset.text.to_owned()));
    bundle.chain([("sample.yml".to_owned(), SAMPLE.to_owned())]).collect()
}

/// Panics unless `promtool check rules` takes these rule files.
fn promtool_takes(files: &[PathBuf]) {
    let output = Command::new("promtool").args(["check", "rules"]).args(files).output();
    let output = output.expect("promtool is not installed: it comes with Prometheus");
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
}

/// Runs `pgvigil assets export` and gives its exit code and what it said.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_pgvigil")).args(["assets", "export"]).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn what_is_compiled_in_is_what_lies_there() {
    let compiled = bundle();
    let mut lies = below(&Path::new(ROOT).join("alerts"));
    let boards = below(&Path::new(ROOT).join("dashboards")).into_iter();
    lies.extend(boards.map(|(name, text)| (format!("dashboards/{name}"), text)));
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&compiled), names(&lies), "a file came or went: touch src/assets.rs and build again");
    assert!(compiled == lies, "a file has another text: touch src/assets.rs and build again");
}

#[test]
fn an_export_as_files_is_the_bundle_with_another_base_and_nothing_else() {
    let dir = Dir::new("files");
    let first = export(&dir.0, &Options::default()).unwrap();
    let written = below(&dir.0);
    let bundle = bundle();
    assert_eq!(written, bundle);
    assert_eq!(first, Exported { written: bundle.len(), unchanged: 0 });
    assert_eq!(export(&dir.0, &Options::default()).unwrap(), Exported { written: 0, unchanged: bundle.len() });
    let rules: Vec<_> = assets::rules().iter().map(|asset| dir.0.join(asset.path)).collect();
    if !rules.is_empty() {
        promtool_takes(&rules);
    }

    let base = "https://docs.example/pg";
    let elsewhere = Options { base: Some(Base::parse(base).unwrap()), force: true, ..Options::default() };
    export(&dir.0, &elsewhere).unwrap();
    for (name, text) in below(&dir.0) {
        match name.ends_with(".md") {
            false => assert_eq!(text.replace(base, RUNBOOK_BASE), bundle[&name], "{name}"),
            true => assert_eq!(text, bundle[&name], "{name}"),
        }
        assert!(name.ends_with(".md") || !text.contains(RUNBOOK_BASE), "{name}");
    }
}

#[test]
fn a_prometheus_rule_says_what_the_rule_file_says() {
    let dir = Dir::new("specs");
    fs::create_dir_all(&dir.0).unwrap();
    let base = "https://docs.example/pg";
    let labels = BTreeMap::from([("release".to_owned(), "1.0".to_owned()), ("a.b/c".to_owned(), "true".to_owned())]);
    let metadata = Metadata { name: "pgvigil-x".into(), namespace: Some("monitoring".into()), labels };
    let mut specs = Vec::new();
    for (name, text) in rule_files() {
        let based = with_base(&text, &Base::parse(base).unwrap()).unwrap();
        assert_eq!(based.replace(base, RUNBOOK_BASE), text, "{name}");
        let made = prometheus_rule(&based, &metadata).unwrap();
        let read = yaml(&made);
        assert_eq!(read["spec"], yaml(&based), "{name}");
        assert_eq!(
            (read["apiVersion"].as_str(), read["kind"].as_str()),
            (Some("monitoring.coreos.com/v1"), Some("PrometheusRule"))
        );
        assert_eq!(read["metadata"]["name"], "pgvigil-x");
        assert_eq!(read["metadata"]["namespace"], "monitoring");
        assert_eq!(read["metadata"]["labels"], serde_json::json!({"release": "1.0", "a.b/c": "true"}));
        for line in text.lines().filter(|line| !line.contains(RUNBOOK_BASE)) {
            assert!(made.contains(line), "{name} lost a line: {line}");
        }
        let spec = dir.0.join(name.replace('/', "-"));
        fs::write(&spec, read["spec"].to_string()).unwrap();
        specs.push(spec);
    }
    promtool_takes(&specs);
}

#[test]
fn an_export_for_kubernetes_is_one_file_for_each_rule_file() {
    let dir = Dir::new("kubernetes");
    let options = Options { format: Format::PrometheusRule, ..Options::default() };
    let exported = export(&dir.0, &options).unwrap();
    assert_eq!(exported.written, assets::rules().len());
    if exported.written == 0 {
        return;
    }
    for (file, text) in below(&dir.0) {
        let name = yaml(&text)["metadata"]["name"].as_str().unwrap().to_owned();
        assert_eq!(file, format!("{name}.yml"));
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'), "{name}");
    }
}

#[test]
fn what_somebody_changed_is_not_overwritten_unasked() {
    let Some(one) = assets::all().into_iter().next() else { return };
    let dir = Dir::new("force");
    export(&dir.0, &Options::default()).unwrap();
    let path = dir.0.join(one.path);
    fs::write(&path, "mine").unwrap();
    let last = dir.0.join(assets::all().last().unwrap().path);
    fs::remove_file(&last).unwrap();
    let error = export(&dir.0, &Options::default()).unwrap_err();
    assert!(matches!(error, ExportError::Differ { more: 0, .. }), "{error}");
    let said = error.to_string().replace(dir.0.to_str().unwrap(), "D");
    assert_eq!(
        said,
        format!(
            "D/{} differs from what would be written: nothing was written; move it away, or use --force to replace what is there",
            one.path
        )
    );
    assert!(!last.exists() && fs::read_to_string(&path).unwrap() == "mine", "nothing was written");
    let (code, said) = run(&[dir.0.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = run(&[dir.0.to_str().unwrap(), "--force"]);
    assert_eq!((code, said.contains(": 2 files written, ")), (Some(0), true), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), one.text);

    // A link that somebody put there is replaced, and not what it leads to.
    let theirs = dir.0.join("theirs");
    fs::write(&theirs, "theirs").unwrap();
    fs::remove_file(&path).unwrap();
    symlink(&theirs, &path).unwrap();
    export(&dir.0, &Options { force: true, ..Options::default() }).unwrap();
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = export(&dir.0, &Options { force: true, ..Options::default() }).unwrap_err();
    assert!(error.to_string().contains("something that is no file is there"), "{error}");
    assert!(below(&dir.0).len() == bundle().len(), "nothing half written is left");
}

#[test]
fn wrong_usage_is_told() {
    let dir = Dir::new("usage");
    let path = dir.0.to_str().unwrap();
    for (arguments, why) in [
        (&["--runbook-base-url", "https://u:p@a"][..], "must not hold a user or a password"),
        (&["--runbook-base-url", "docs/runbooks"], "it is not a URL: relative URL without a base"),
        (&["--format", "prometheusrule", "--namespace", "Mine"], "a namespace is 1 to 63 of a-z, 0-9 and dash"),
        (&["--format", "prometheusrule", "--label", "release"], "write key=value"),
        (&["--format", "prometheusrule", "--label", "a=\"b"], "write key=value"),
        (&["--format", "helm"], "[possible values: files, prometheusrule]"),
        (&["--label", "a=b"], "--namespace and --label are for --format prometheusrule"),
    ] {
        let (code, said) = run(&[&[path], arguments].concat());
        assert!(code == Some(2) && said.contains(why), "{arguments:?}: {code:?} {said}");
    }
    assert!(!dir.0.exists());
    fs::write(&dir.0, "").unwrap();
    let (code, said) = run(&[dir.0.join("x").to_str().unwrap()]);
    fs::remove_file(&dir.0).unwrap();
    if !assets::all().is_empty() {
        assert!(code == Some(1) && said.contains("Not a directory"), "{said}");
    }
}
