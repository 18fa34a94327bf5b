//! Rows of text with a tone, as wide as the place that there is. The words tell all; the tone only helps to find them.

/// How a piece of text stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Not at all.
    Plain,
    /// A heading.
    Head,
    /// What matters less.
    Faint,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
    /// What must not be overlooked.
    Alarm,
}

/// Pieces of text, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row(pub Vec<(String, Tone)>);

impl Row {
    /// One piece.
    pub fn of(text: impl AsRef<str>, tone: Tone) -> Self {
        let mut row = Self::default();
        row.push(text, tone);
        row
    }

    /// Adds a piece.
    pub fn push(&mut self, text: impl AsRef<str>, tone: Tone) {
        self.0.push((safe(text.as_ref()), tone));
    }

    /// How many characters it has.
    pub fn width(&self) -> usize {
        self.0.iter().map(|(text, _)| text.chars().count()).sum()
    }

    /// The text alone.
    #[cfg(test)]
    pub fn plain(&self) -> String {
        self.0.iter().map(|(text, _)| text.as_str()).collect()
    }
}

/// Text of others without what a terminal would obey.
pub fn safe(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// `text` after a label, in lines of at most `width` characters; further lines are set in below the text.
pub fn paragraph(label: &str, text: &str, tone: Tone, width: usize) -> Vec<Row> {
    let inset = if width < 60 { 2 } else { 10 };
    let first = match label.chars().count() {
        0 if inset > 2 => " ".repeat(inset),
        0 => " ".repeat(2),
        long if long < inset => format!("{label:inset$}"),
        _ => format!("{label} "),
    };
    let mut rows = vec![Row::of(&first, Tone::Head)];
    let (mut used, mut line) = (first.chars().count(), String::new());
    let mut at_start = true;
    for word in safe(text).split_whitespace() {
        for word in pieces(word, width.saturating_sub(inset).max(8)) {
            let long = word.chars().count();
            if !at_start && used + 1 + long > width {
                finish(&mut rows, &mut line, tone);
                rows.push(Row::of(" ".repeat(inset), Tone::Plain));
                (used, at_start) = (inset, true);
            }
            if !at_start {
                line.push(' ');
                used += 1;
            }
            line.push_str(&word);
            (used, at_start) = (used + long, false);
        }
    }
    finish(&mut rows, &mut line, tone);
    rows
}

fn finish(rows: &mut [Row], line: &mut String, tone: Tone) {
    if let Some(row) = rows.last_mut() {
        row.push(std::mem::take(line), tone);
    }
}

/// A word in pieces that fit.
fn pieces(word: &str, most: usize) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    chars.chunks(most).map(|piece| piece.iter().collect()).collect()
}

/// A column of a table.
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// So wide at least, so that changing values do not move what stands beside them.
    pub least: usize,
    /// The columns of the highest number go first where there is no room.
    pub rank: u8,
}

/// A cell.
pub type Cell = (String, Tone);

/// Two spaces stand between columns.
const GAP: usize = 2;
/// No cell is wider.
const WIDEST: usize = 24;

/// A table of as many columns as there is room for.
pub fn table(columns: &[Column], cells: &[Vec<Cell>], width: usize) -> Vec<Row> {
    let wide = |index: usize| {
        let cells = cells.iter().filter_map(|row| row.get(index)).map(|(text, _)| text.chars().count());
        cells.chain([columns[index].title.len(), columns[index].least]).max().unwrap_or(0).min(WIDEST)
    };
    let widths: Vec<usize> = (0..columns.len()).map(wide).collect();
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let total = |shown: &[usize]| shown.iter().map(|index| widths[*index] + GAP).sum::<usize>().saturating_sub(GAP);
    while total(&shown) > width && shown.len() > 2 {
        let last = shown.iter().copied().max_by_key(|index| columns[*index].rank);
        shown.retain(|index| Some(*index) != last);
    }
    let line = |row: &dyn Fn(usize) -> Cell| {
        let mut line = Row::default();
        for (place, index) in shown.iter().enumerate() {
            let (text, tone) = row(*index);
            let end = if place + 1 == shown.len() { 0 } else { widths[*index] + GAP };
            line.push(format!("{:end$}", cut(&safe(&text), widths[*index])), tone);
        }
        line
    };
    let head = line(&|index| (columns[index].title.to_owned(), Tone::Head));
    let rest = cells.iter().map(|row| line(&|index| row.get(index).cloned().unwrap_or((String::new(), Tone::Plain))));
    std::iter::once(head).chain(rest).collect()
}

/// At most `most` characters, the last a sign that there are more.
fn cut(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most.saturating_sub(1)).chain(['~']).collect(),
        false => text.to_owned(),
    }
}

/// Bytes for people.
pub fn bytes(amount: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (amount as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{amount} B"),
        unit => format!("{value:.1} {}", units.get(unit).unwrap_or(&"B")),
    }
}

/// A time span for people, in its two largest units.
pub fn span(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_their_unit() {
        for (amount, shown) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (16 << 20, "16.0 MiB"), (u64::MAX, "16777216.0 TiB")]
        {
            assert_eq!(bytes(amount), shown);
        }
    }

    #[test]
    fn spans_are_shown_in_two_units() {
        for (seconds, shown) in
            [(0.9, "0 s"), (59.9, "59 s"), (61.0, "1 min 1 s"), (7_260.0, "2 h 1 min"), (90_000.0, "1 d 1 h")]
        {
            assert_eq!(span(seconds), shown);
        }
    }

    #[test]
    fn a_paragraph_keeps_its_width_and_its_words() {
        let text = "a: unreachable for 12 s: nothing listens at this address (127.0.0.1:5432)";
        for width in [12, 20, 40, 80] {
            let rows = paragraph("why", text, Tone::Plain, width);
            assert!(rows.iter().all(|row| row.width() <= width), "{width}: {rows:?}");
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            let said: String = rows.iter().map(Row::plain).collect();
            assert_eq!(letters(&said), format!("why{}", letters(text)), "{width}");
        }
    }

    #[test]
    fn a_narrow_table_keeps_its_first_columns() {
        let column = |title, rank| Column { title, least: 4, rank };
        let columns = [column("NODE", 0), column("STATE", 1), column("ROLE", 3), column("LAG", 2)];
        let cells = vec![["a", "up", "primary", "-"].map(|text| (text.to_owned(), Tone::Plain)).to_vec()];
        let plain = |width| table(&columns, &cells, width).iter().map(Row::plain).collect::<Vec<_>>();
        assert_eq!(plain(80), ["NODE  STATE  ROLE     LAG", "a     up     primary  -"]);
        assert_eq!(plain(20), ["NODE  STATE  LAG", "a     up     -"]);
        assert_eq!(plain(8), ["NODE  STATE", "a     up"]);
    }

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        assert!(!Row::of("a\x1b[2Jb\r\n", Tone::Plain).plain().contains(['\x1b', '\r', '\n']));
    }
}
