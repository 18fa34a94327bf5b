//! The bundle as it is compiled into the binary: rules, their tests, runbooks and the example for Alertmanager, from `alerts/`, and the
//! boards for Grafana, from `dashboards/`. A test holds it against the directories, because a file that is added there alone does not
//! make the compiler look again.

pub mod export;
pub mod rule_file;

use include_dir::{Dir, include_dir};

static BUNDLE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/alerts");
static DASHBOARDS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/dashboards");

/// What the `runbook_url` of every alert begins with, before `/` and the alert's name.
pub const RUNBOOK_BASE: &str = "http://localhost:10187/runbooks";

/// One file of the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asset {
    /// Its path below `alerts/`, such as `rules/slots.yml`, or below `dashboards/`.
    pub path: &'static str,
    /// Its text.
    pub text: &'static str,
}

impl Asset {
    /// Its name without directory and extension.
    pub fn stem(&self) -> &'static str {
        let name = self.path.rsplit('/').next().unwrap_or(self.path);
        name.split_once('.').map_or(name, |(stem, _)| stem)
    }
}

/// All files of `alerts/`, by path.
pub fn all() -> Vec<Asset> {
    files(&BUNDLE)
}

/// All files of `dashboards/`, by path.
pub fn dashboards() -> Vec<Asset> {
    files(&DASHBOARDS)
}

fn files(dir: &'static Dir<'static>) -> Vec<Asset> {
    fn collect(dir: &'static Dir<'static>, found: &mut Vec<Asset>) {
        for file in dir.files() {
            let hidden = file.path().file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if let (false, Some(path), Some(text)) = (hidden, file.path().to_str(), file.contents_utf8()) {
                found.push(Asset { path, text });
            }
        }
        dir.dirs().for_each(|dir| collect(dir, found));
    }
    let mut found = Vec::new();
    collect(dir, &mut found);
    found.sort_unstable();
    found
}

/// The rule files.
pub fn rules() -> Vec<Asset> {
    below("rules/", ".yml")
}

/// The runbooks.
pub fn runbooks() -> Vec<Asset> {
    below("runbooks/", ".md")
}

fn below(dir: &str, extension: &str) -> Vec<Asset> {
    let mut found = all();
    found.retain(|asset| asset.path.starts_with(dir) && asset.path.ends_with(extension));
    found
}
