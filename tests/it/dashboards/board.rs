//! A board as Grafana reads it: its panels, and every query in it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::fixture::ROOT;

/// One file of `dashboards/`.
#[derive(Clone)]
pub struct Board {
    /// The file's name without its extension.
    pub name: String,
    pub text: String,
    pub json: Value,
}

/// One query of a board, and where it is.
#[derive(Clone, Debug)]
pub struct Query {
    /// Board, panel and letter.
    pub place: String,
    /// The panel's type; `annotation` for what draws lines through all.
    pub kind: String,
    pub expr: String,
    pub is_instant: bool,
    pub legend: String,
}

impl Board {
    pub fn of(name: &str, text: &str) -> Self {
        let json = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name: name.to_owned(), text: text.to_owned(), json }
    }

    /// The panels that show something.
    pub fn panels(&self) -> impl Iterator<Item = &Value> {
        self.all_panels().filter(|panel| panel["type"] != "row")
    }

    /// The same with the titles of rows.
    pub fn all_panels(&self) -> impl Iterator<Item = &Value> {
        items(&self.json["panels"])
    }

    /// The queries of all panels and annotations.
    pub fn queries(&self) -> Vec<Query> {
        let annotations = items(&self.json["annotations"]["list"]);
        let annotations = annotations.map(|one| self.query("annotation", text(&one["name"]), &one["target"]));
        let of_panel = |panel: &Value| -> Vec<Query> {
            let (kind, title) = (text(&panel["type"]), text(&panel["title"]));
            items(&panel["targets"]).map(|target| self.query(kind, title, target)).collect()
        };
        self.panels().flat_map(of_panel).chain(annotations).collect()
    }

    fn query(&self, kind: &str, title: &str, target: &Value) -> Query {
        Query {
            place: format!("{}: {title}: {}", self.name, text(&target["refId"])),
            kind: kind.to_owned(),
            expr: text(&target["expr"]).to_owned(),
            is_instant: target["instant"] == true,
            legend: text(&target["legendFormat"]).to_owned(),
        }
    }

    /// The variables that ask Prometheus: name and query.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let list = items(&self.json["templating"]["list"]).filter(|one| one["type"] == "query");
        list.map(|one| (text(&one["name"]), text(&one["query"]["query"])))
    }
}

/// Where a panel is told of.
pub fn place(board: &Board, panel: &Value) -> String {
    format!("{}: {}", board.name, text(&panel["title"]))
}

/// A list; nothing where there is none.
pub fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A text; empty where there is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// All boards, by name.
pub fn boards() -> Vec<Board> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_stem()?.to_str()?.to_owned();
        let is_board = path.extension().is_some_and(|extension| extension == "json");
        is_board.then(|| Board::of(&name, &fs::read_to_string(&path).unwrap()))
    };
    let dir = Path::new(ROOT).join("dashboards");
    let mut boards: Vec<_> = fs::read_dir(dir).unwrap().filter_map(read).collect();
    boards.sort_by(|one, other| one.name.cmp(&other.name));
    boards
}

/// The names of all boards, which are their uids.
pub fn uids() -> Vec<String> {
    boards().into_iter().map(|board| board.name).collect()
}

/// What Grafana puts in the place of its variables before it asks.
pub struct Filled<'a> {
    pub cluster: &'a str,
    pub node: &'a str,
    pub rate_interval: &'a str,
    pub range: &'a str,
}

/// The expression as it is sent.
pub fn filled(expr: &str, by: &Filled<'_>) -> String {
    expr.replace("$__rate_interval", by.rate_interval)
        .replace("$__range", by.range)
        .replace("$cluster", by.cluster)
        .replace("$node", by.node)
}
