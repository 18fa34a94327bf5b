//! What a statement returned, as named text cells. The server is text until a collector types it, so recorded rows are fixtures.

use std::str::FromStr;
use std::sync::Arc;

use crate::clock::Wall;
use crate::pg::lsn::Lsn;

/// The rows of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    columns: Arc<[String]>,
    rows: Vec<Vec<Option<String>>>,
}

/// A cell that is not what a collector needs. The text of the cell is left out: it may be a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The answer has no such column.
    #[error("the server's answer has no column {0}")]
    NoColumn(String),
    /// The cell is NULL where a value is needed.
    #[error("column {0} is NULL where a value was expected")]
    Null(String),
    /// The cell is not of the expected type.
    #[error("column {column} is not {expected}")]
    Type {
        /// The column's name.
        column: String,
        /// What was expected, with its article.
        expected: &'static str,
    },
    /// The answer has another number of rows than the view always gives.
    #[error("expected one row, got {0}")]
    NotOneRow(usize),
}

impl Records {
    /// Rows of cells under `columns`; a row that is too short reads as NULL at its end.
    pub fn new(columns: Arc<[String]>, rows: Vec<Vec<Option<String>>>) -> Self {
        Self { columns, rows }
    }

    /// The names of the columns, in order.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The cells, row by row.
    pub fn rows(&self) -> &[Vec<Option<String>>] {
        &self.rows
    }

    /// Each row.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.rows.iter().map(|cells| Record { columns: &self.columns, cells })
    }

    /// The only row of a view that always has one.
    pub fn single(&self) -> Result<Record<'_>, DecodeError> {
        match self.rows.as_slice() {
            [cells] => Ok(Record { columns: &self.columns, cells }),
            rows => Err(DecodeError::NotOneRow(rows.len())),
        }
    }
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    columns: &'a [String],
    cells: &'a [Option<String>],
}

impl<'a> Record<'a> {
    /// The cell's text, `None` for NULL.
    pub fn text(&self, column: &str) -> Result<Option<&'a str>, DecodeError> {
        let index = self.columns.iter().position(|name| name == column);
        let index = index.ok_or_else(|| DecodeError::NoColumn(column.to_owned()))?;
        Ok(self.cells.get(index).and_then(|cell| cell.as_deref()))
    }

    /// The cell's text; NULL is an error.
    pub fn need_text(&self, column: &str) -> Result<&'a str, DecodeError> {
        need(column, self.text(column)?)
    }

    /// A number of any kind.
    pub fn number<T: FromStr>(&self, column: &str) -> Result<Option<T>, DecodeError> {
        self.parse(column, "a number")
    }

    /// A number; NULL is an error.
    pub fn need_number<T: FromStr>(&self, column: &str) -> Result<T, DecodeError> {
        need(column, self.number(column)?)
    }

    /// A WAL position.
    pub fn lsn(&self, column: &str) -> Result<Option<Lsn>, DecodeError> {
        self.parse(column, "a WAL position")
    }

    /// A boolean, as `boolean::text` (true, false) or in psql's short form (t, f).
    pub fn boolean(&self, column: &str) -> Result<Option<bool>, DecodeError> {
        match self.text(column)? {
            None => Ok(None),
            Some("true" | "t") => Ok(Some(true)),
            Some("false" | "f") => Ok(Some(false)),
            Some(_) => Err(DecodeError::Type { column: column.to_owned(), expected: "a boolean" }),
        }
    }

    /// A boolean; NULL is an error.
    pub fn need_boolean(&self, column: &str) -> Result<bool, DecodeError> {
        need(column, self.boolean(column)?)
    }

    /// A moment on the server's clock, selected as `extract(epoch from …)::text`.
    pub fn epoch(&self, column: &str) -> Result<Option<Wall>, DecodeError> {
        Ok(self.number::<f64>(column)?.map(Wall::from_seconds))
    }

    fn parse<T: FromStr>(&self, column: &str, expected: &'static str) -> Result<Option<T>, DecodeError> {
        let parsed = self.text(column)?.map(str::parse).transpose();
        parsed.map_err(|_| DecodeError::Type { column: column.to_owned(), expected })
    }
}

fn need<T>(column: &str, cell: Option<T>) -> Result<T, DecodeError> {
    cell.ok_or_else(|| DecodeError::Null(column.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Records {
        let columns = ["pid", "lsn", "active", "seen", "gone"].map(str::to_owned);
        let cells = ["42", "0/1500790", "t", "1.5", ""].map(|cell| (!cell.is_empty()).then(|| cell.to_owned()));
        Records::new(columns.into(), vec![cells.to_vec()])
    }

    #[test]
    fn types_the_cells_of_a_row() {
        let records = records();
        let row = records.single().unwrap();
        assert_eq!(row.need_number::<i32>("pid"), Ok(42));
        assert_eq!(row.lsn("lsn"), Ok(Some(Lsn(0x150_0790))));
        assert_eq!(row.need_boolean("active"), Ok(true));
        assert_eq!(row.epoch("seen"), Ok(Some(Wall::from_seconds(1.5))));
        assert_eq!(row.number::<f64>("gone"), Ok(None));
    }

    #[test]
    fn names_the_column_and_never_shows_the_cell() {
        let records = records();
        let row = records.single().unwrap();
        assert_eq!(row.text("none"), Err(DecodeError::NoColumn("none".into())));
        assert_eq!(row.need_text("gone"), Err(DecodeError::Null("gone".into())));
        let error = row.lsn("pid").unwrap_err().to_string();
        assert_eq!(error, "column pid is not a WAL position");
    }
}
