//! Rows recorded on real servers: `tests/fixtures/pg<major>/<role>/<collector>.json`, written by `live::record` alone.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use pgvigil::pg::records::Records;
use serde::{Deserialize, Serialize};

/// Where the package is.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Whether files that tests compare with are to be written anew.
pub fn update() -> bool {
    std::env::var_os("UPDATE").is_some_and(|value| value == "1")
}

/// One recorded answer.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// `server_version_num` of the server that gave it.
    pub server_version: u32,
    /// The columns' names.
    pub columns: Vec<String>,
    /// The cells.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Answer {
    /// As a collector takes it.
    pub fn records(self) -> Records {
        Records::new(self.columns.into(), self.rows)
    }

    /// Reads a file; `None` if there is none.
    pub fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// Writes a file, a row a line.
    pub fn write(&self, path: &Path) {
        let mut text = format!("{{\"server_version\": {},\n", self.server_version);
        let _ = write!(text, " \"columns\": {},\n \"rows\": [", line(&self.columns));
        for (index, row) in self.rows.iter().enumerate() {
            let _ = write!(text, "{}\n  {}", if index == 0 { "" } else { "," }, line(row));
        }
        text.push_str("]}\n");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

/// The file of one answer.
pub fn path(major: u32, role: &str, collector: &str) -> PathBuf {
    [ROOT, "tests/fixtures", &format!("pg{major}"), role, &format!("{collector}.json")].iter().collect()
}
