//! Draws a screen into a frame of the terminal.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use super::text::{Row, Tone};
use super::view::Screen;

/// How a person looks at it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// Rows of the body that lie above the first that is shown.
    pub scroll: usize,
    /// Whether the keys are explained.
    pub help: bool,
    /// Whether colour is wanted.
    pub colour: bool,
}

const KEYS: &str = "q quit  ? help";
const HELP: &[&str] = &[
    "q, Esc, Ctrl-C      quit",
    "j, Down / k, Up     next, previous cluster",
    "Space, PgDn / PgUp  scroll",
    "Home                back to the top",
    "Ctrl-L              draw all anew",
    "?                   this help; any key closes it",
];

/// Draws it; gives how far the body can be scrolled.
pub fn draw(frame: &mut Frame<'_>, screen: &Screen, look: Look) -> usize {
    let area = frame.area();
    if area.width == 0 || area.height == 0 {
        return 0;
    }
    let height = usize::from(area.height);
    let foot = usize::from(height > 3);
    // The alarms may take half of a small terminal.
    let alarms = screen.alarms.len().min((height / 2).max(1));
    let listed = screen.clusters.len().min(height / 3);
    let mut rows: Vec<Row> = Vec::with_capacity(height);
    rows.push(screen.head.clone());
    rows.extend(screen.alarms.iter().take(alarms).cloned());
    if listed > 1 {
        rows.extend(window(&screen.clusters, screen.chosen, listed));
        rows.push(Row::default());
    }
    let room = height.saturating_sub(rows.len() + foot);
    let most = screen.body.len().saturating_sub(room);
    let scroll = look.scroll.min(most);
    rows.extend(screen.body.iter().skip(scroll).take(room).cloned());
    rows.truncate(height - foot);
    let lines: Vec<Line<'_>> = rows.iter().map(|row| line(row, look.colour)).collect();
    frame.render_widget(Paragraph::new(lines), Rect { height: area.height - foot as u16, ..area });
    if foot > 0 {
        let below = most - scroll;
        let more = if below > 0 { format!("  {below} more rows: Space") } else { String::new() };
        let choose = if screen.clusters.is_empty() { "" } else { "  j k cluster" };
        let text = Line::styled(format!("{KEYS}{choose}{more}"), style(Tone::Faint, look.colour));
        frame.render_widget(Paragraph::new(text), Rect { y: area.y + area.height - 1, height: 1, ..area });
    }
    if look.help {
        help(frame, area);
    }
    most
}

/// The heading and as many clusters as fit, among them the chosen one.
fn window(clusters: &[Row], chosen: usize, listed: usize) -> Vec<Row> {
    let (head, rest) = clusters.split_at(1.min(clusters.len()));
    let room = listed.saturating_sub(1);
    let first = (chosen + 1).saturating_sub(room);
    head.iter().chain(rest.iter().skip(first).take(room)).cloned().collect()
}

fn line(row: &Row, colour: bool) -> Line<'_> {
    Line::from(row.0.iter().map(|(text, tone)| Span::styled(text.as_str(), style(*tone, colour))).collect::<Vec<_>>())
}

fn style(tone: Tone, colour: bool) -> Style {
    let plain = Style::new();
    let in_colour = |style: Style, shade: Color| if colour { style.fg(shade) } else { style };
    match tone {
        Tone::Plain => plain,
        Tone::Head => plain.add_modifier(Modifier::BOLD),
        Tone::Faint => plain.add_modifier(Modifier::DIM),
        Tone::Good => in_colour(plain, Color::Green),
        Tone::Warn => in_colour(plain, Color::Yellow),
        Tone::Bad => in_colour(plain.add_modifier(Modifier::BOLD), Color::Red),
        Tone::Alarm => in_colour(plain.add_modifier(Modifier::BOLD | Modifier::REVERSED), Color::Red),
    }
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let widest = HELP.iter().map(|line| line.len()).max().unwrap_or(0);
    let width = area.width.min(widest as u16 + 2);
    let height = area.height.min(HELP.len() as u16 + 2);
    let place = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    let mut lines = vec![Line::default()];
    lines.extend(HELP.iter().map(|line| Line::from(format!(" {line}"))));
    lines.push(Line::default());
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).style(Style::new().add_modifier(Modifier::REVERSED)), place);
}
