//! Several statements as one. What a reading costs a server is less its views than what surrounds each statement: a transaction, a
//! snapshot, an executor, a reply that is sent at once and wakes us. Each statement stays a file of its own, and falls back to that.

use tokio_postgres::Row;

use super::cells;

/// One of the statements.
pub(super) struct Part<'a> {
    /// What its rows are led by.
    pub(super) number: usize,
    /// The statement.
    pub(super) sql: &'a str,
    /// How many columns it has.
    pub(super) columns: usize,
}

/// A statement whose rows are those of all `parts`, in their order: the part's number, its cells, and NULLs up to the widest.
pub(super) fn union(parts: &[Part<'_>]) -> String {
    let widest = parts.iter().map(|part| part.columns).max().unwrap_or(0);
    let select = |Part { number, sql, columns }: &Part<'_>| {
        let nulls = ", NULL::text".repeat(widest - columns);
        // On a line of its own: a statement may end in a comment.
        format!("SELECT '{number}'::text, part.*{nulls} FROM (\n{sql}\n) AS part")
    };
    parts.iter().map(select).collect::<Vec<_>>().join("\nUNION ALL\n")
}

/// The rows of part 0, 1, …, of which `columns` says how many columns each has.
pub(super) fn split(rows: &[Row], columns: &[usize]) -> Vec<Vec<Vec<Option<String>>>> {
    let mut parts = vec![Vec::new(); columns.len()];
    for row in rows {
        let number = row.try_get::<_, &str>(0).ok().and_then(|number| number.parse::<usize>().ok());
        if let Some((part, columns)) = number.and_then(|number| Some((parts.get_mut(number)?, columns.get(number)?))) {
            part.push(cells(row, 1..columns + 1));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::{Part, union};

    #[test]
    fn the_parts_are_as_wide_as_the_widest() {
        let narrow = Part { number: 0, sql: "SELECT a::text AS a", columns: 1 };
        let wide =
            Part { number: 2, sql: "-- why\nSELECT b::text AS b,\n       c::text AS c\n  FROM d -- e", columns: 2 };
        let expected = "SELECT '0'::text, part.*, NULL::text FROM (\nSELECT a::text AS a\n) AS part\nUNION ALL\n\
                        SELECT '2'::text, part.* FROM (\n-- why\nSELECT b::text AS b,\n       c::text AS c\n  FROM d -- e\n) AS part";
        assert_eq!(union(&[narrow, wide]), expected);
    }
}
