//! Writing the bundle to a directory: all of it, or as PrometheusRules. Each file is whole at every moment, and what somebody
//! changed is not overwritten unasked.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::rule_file::{self, Base, Metadata, RuleFileError};
use super::{all, dashboards, rules};

/// What is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Rules, tests, runbooks, alertmanager.yml and dashboards, as Prometheus, Alertmanager and Grafana read them.
    #[default]
    Files,
    /// A PrometheusRule of Kubernetes for each rule file.
    #[value(name = "prometheusrule")]
    PrometheusRule,
}

/// How it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What is written.
    pub format: Format,
    /// Where runbooks are served, if not at our own default address.
    pub base: Option<Base>,
    /// The namespace of PrometheusRules.
    pub namespace: Option<String>,
    /// The labels of PrometheusRules.
    pub labels: BTreeMap<String, String>,
    /// Whether files that differ are replaced.
    pub force: bool,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// So many files were written.
    pub written: usize,
    /// So many were there already, the same.
    pub unchanged: usize,
}

/// Why nothing, or not everything, was written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file cannot be made from ours.
    #[error("{path}: {source}")]
    File {
        /// The file of the bundle.
        path: &'static str,
        /// The reason.
        source: RuleFileError,
    },
    /// Somebody changed files, or they are of another version.
    #[error("{} {}: nothing was written; move {}, or use --force to replace what is there", .first.display(), others(*.more), if *.more == 0 { "it away" } else { "them away" })]
    Differ {
        /// One of them.
        first: PathBuf,
        /// How many more.
        more: usize,
    },
    /// The file system refused.
    #[error("{}: {source}; files that were written before it are whole", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

fn others(more: usize) -> String {
    match more {
        0 => "differs from what would be written".to_owned(),
        1 => "and one other file differ from what would be written".to_owned(),
        more => format!("and {more} other files differ from what would be written"),
    }
}

/// Writes the bundle into `dir`, which is made if it is not there.
pub fn export(dir: &Path, options: &Options) -> Result<Exported, ExportError> {
    write(dir, &files(options)?, options.force)
}

/// The files, by path below the directory.
fn files(options: &Options) -> Result<BTreeMap<String, String>, ExportError> {
    let based = |path: &'static str, text: &str| match &options.base {
        Some(base) => rule_file::with_base(text, base).map_err(|source| ExportError::File { path, source }),
        None => Ok(text.to_owned()),
    };
    match options.format {
        Format::Files => {
            let alerts = all().into_iter().map(|asset| (asset.path.to_owned(), asset));
            let boards = dashboards().into_iter().map(|asset| (format!("dashboards/{}", asset.path), asset));
            alerts
                .chain(boards)
                // Pages lead to each other by relative links.
                .map(|(path, asset)| match asset.path.ends_with(".md") {
                    true => Ok((path, asset.text.to_owned())),
                    false => Ok((path, based(asset.path, asset.text)?)),
                })
                .collect()
        }
        Format::PrometheusRule => rules()
            .into_iter()
            .map(|asset| {
                let name = format!("pgvigil-{}", asset.stem().to_lowercase().replace('_', "-"));
                let file = format!("{name}.yml");
                let metadata = Metadata { name, namespace: options.namespace.clone(), labels: options.labels.clone() };
                let made = rule_file::prometheus_rule(&based(asset.path, asset.text)?, &metadata);
                Ok((file, made.map_err(|source| ExportError::File { path: asset.path, source })?))
            })
            .collect(),
    }
}

fn write(dir: &Path, files: &BTreeMap<String, String>, force: bool) -> Result<Exported, ExportError> {
    let mut missing = Vec::new();
    let mut differing = Vec::new();
    for (name, text) in files {
        let path = dir.join(name);
        match is_same(&path, text) {
            Ok(true) => {}
            Ok(false) => differing.push((path, text)),
            Err(source) if source.kind() == ErrorKind::NotFound => missing.push((path, text)),
            Err(source) => return Err(ExportError::Io { path, source }),
        }
    }
    if let (Some((first, _)), false) = (differing.first(), force) {
        return Err(ExportError::Differ { first: first.clone(), more: differing.len() - 1 });
    }
    fs::create_dir_all(dir).map_err(|source| ExportError::Io { path: dir.to_owned(), source })?;
    let due: Vec<_> = missing.into_iter().chain(differing).collect();
    for (path, text) in &due {
        replace(path, text).map_err(|source| ExportError::Io { path: path.clone(), source })?;
    }
    Ok(Exported { written: due.len(), unchanged: files.len() - due.len() })
}

fn is_same(path: &Path, text: &str) -> io::Result<bool> {
    // Opening a pipe would wait for somebody to write to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("something that is no file is there"));
    }
    let mut there = Vec::new();
    File::open(path)?.take(text.len() as u64 + 1).read_to_end(&mut there)?;
    Ok(there == text.as_bytes())
}

/// Puts a file in its place in one step.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(dir)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = dir.join(format!(".{name}.{}.new", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&new)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).and_then(|()| fs::rename(&new, path));
    written.inspect_err(|_| {
        // What is half written must not stay.
        let _ = fs::remove_file(&new);
    })
}
