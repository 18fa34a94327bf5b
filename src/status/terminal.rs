//! The terminal: one thread reads its keys and draws, since a terminal that nobody reads, as over a stalled ssh, holds up who writes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::{oneshot, watch};

use super::draw::{Look, draw};
use super::view::{Picture, Seen, screen};
use crate::clock::Mono;

/// How soon something new is drawn, and an end is obeyed.
const TICK: Duration = Duration::from_millis(100);
/// How long the end waits for a terminal that takes nothing.
const END_DEADLINE: Duration = Duration::from_millis(500);

/// What came of the looks until now.
#[derive(Clone, Default)]
pub(super) struct Heard {
    /// The last good answers, and when they came.
    pub picture: Option<(Arc<Picture>, Mono)>,
    /// Why there are no newer ones.
    pub trouble: Option<String>,
}

/// A terminal that is taken over until it is stopped.
pub(super) struct Terminal {
    /// Takes what is to be shown; a terminal that was slow shows the newest alone.
    pub heard: watch::Sender<Heard>,
    /// Resolves when a person has enough, or the terminal failed.
    pub ended: oneshot::Receiver<anyhow::Result<()>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Takes over the terminal; `choose` is told which cluster to show.
    pub fn start(
        server: String,
        interval: Duration,
        colour: bool,
        choose: watch::Sender<Option<String>>,
    ) -> io::Result<Self> {
        let (heard, mut to_show) = watch::channel(Heard::default());
        let (end, ended) = oneshot::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Seen { server, interval, picture: None, age: Duration::ZERO, trouble: None, chosen: None };
        let look = Look { colour, ..Look::default() };
        let mut desk = Desk { seen, look, most: 0, page: 1, taken: Mono::now(), choose };
        let until = stop.clone();
        // From here on a panic gives the terminal back before it is told.
        let terminal = ratatui::try_init().inspect_err(|_| ratatui::restore())?;
        let thread = thread::Builder::new().name("terminal".to_owned()).spawn(move || {
            let back = Back;
            let worked = desk.work(terminal, &mut to_show, &until);
            drop(back);
            // Whoever started it may have gone.
            let _ = end.send(worked);
        });
        let thread = thread.inspect_err(|_| ratatui::restore())?;
        Ok(Self { heard, ended, stop, thread: Some(thread) })
    }

    /// Gives the terminal back.
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return };
        let since = Instant::now();
        while !thread.is_finished() && since.elapsed() < END_DEADLINE {
            thread::sleep(TICK / 10);
        }
        match thread.is_finished() {
            // It has given the terminal back.
            true => drop(thread.join()),
            // Its settings can be given back although nobody reads.
            false => drop(ratatui::crossterm::terminal::disable_raw_mode()),
        }
    }
}

/// Gives the terminal back, whatever happened.
struct Back;

impl Drop for Back {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Quit,
    Cluster(isize),
    Scroll(isize),
    Top,
    Help,
    Anew,
    Nothing,
}

fn asked(key: KeyEvent) -> Asked {
    let with_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c') if with_control => Asked::Quit,
        KeyCode::Char('l') if with_control => Asked::Anew,
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => Asked::Quit,
        KeyCode::Char('j') | KeyCode::Down => Asked::Cluster(1),
        KeyCode::Char('k') | KeyCode::Up => Asked::Cluster(-1),
        KeyCode::Char(' ') | KeyCode::PageDown => Asked::Scroll(1),
        KeyCode::Char('b') | KeyCode::PageUp => Asked::Scroll(-1),
        KeyCode::Home => Asked::Top,
        KeyCode::Char('?' | 'h') => Asked::Help,
        _ => Asked::Nothing,
    }
}

/// What is shown, and how.
struct Desk {
    seen: Seen,
    look: Look,
    /// How far the body can be scrolled.
    most: usize,
    /// Rows of a screen.
    page: usize,
    /// When the picture came.
    taken: Mono,
    choose: watch::Sender<Option<String>>,
}

impl Desk {
    fn work(
        &mut self,
        mut terminal: DefaultTerminal,
        to_show: &mut watch::Receiver<Heard>,
        stop: &AtomicBool,
    ) -> anyhow::Result<()> {
        let mut drawn: Option<(bool, u64)> = None;
        while !stop.load(Ordering::Relaxed) {
            if to_show.has_changed().unwrap_or(false) {
                self.take(to_show.borrow_and_update().clone());
                drawn = None;
            }
            self.seen.age = Mono::now().since(self.taken);
            // The age of what is old grows before one's eyes.
            let state = (self.seen.is_old(), self.seen.age.as_secs());
            if drawn.is_none_or(|before| before != state && (state.0 || before.0 != state.0)) {
                self.draw(&mut terminal).context("cannot draw into the terminal")?;
                drawn = Some(state);
            }
            if !event::poll(TICK).context("cannot read the terminal")? {
                continue;
            }
            match event::read().context("cannot read the terminal")? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match self.obey(asked(key)) {
                    Some(Asked::Quit) => return Ok(()),
                    Some(_) => terminal.clear().context("cannot draw into the terminal")?,
                    None => {}
                },
                _ => {}
            }
            drawn = None;
        }
        Ok(())
    }

    fn take(&mut self, heard: Heard) {
        self.seen.trouble = heard.trouble;
        if let Some((picture, at)) = heard.picture {
            (self.seen.picture, self.taken) = (Some(picture), at);
        }
    }

    fn draw(&mut self, terminal: &mut DefaultTerminal) -> io::Result<()> {
        terminal.draw(|frame| {
            let area = frame.area();
            self.page = usize::from(area.height / 2).max(1);
            self.most = draw(frame, &screen(&self.seen, usize::from(area.width)), self.look);
        })?;
        Ok(())
    }

    /// Gives back what only the terminal can do.
    fn obey(&mut self, asked: Asked) -> Option<Asked> {
        // Any key closes the help.
        let had_help = std::mem::take(&mut self.look.help);
        match asked {
            Asked::Quit | Asked::Anew => return Some(asked),
            Asked::Help => self.look.help = !had_help,
            Asked::Cluster(step) => self.choose(step),
            Asked::Scroll(pages) => {
                let step = self.page.saturating_mul(pages.unsigned_abs());
                let from = self.look.scroll.min(self.most);
                self.look.scroll = if pages > 0 { (from + step).min(self.most) } else { from.saturating_sub(step) };
            }
            Asked::Top => self.look.scroll = 0,
            Asked::Nothing => {}
        }
        None
    }

    fn choose(&mut self, step: isize) {
        let Some(picture) = &self.seen.picture else { return };
        let all = &picture.all.clusters;
        let now = all.iter().position(|brief| Some(&brief.name) == self.seen.chosen.as_ref()).unwrap_or(0);
        let Some(brief) = all.get(now.saturating_add_signed(step)) else { return };
        self.seen.chosen = Some(brief.name.clone());
        self.look.scroll = 0;
        // Nobody asks any more at the end.
        let _ = self.choose.send(self.seen.chosen.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_what_the_help_says() {
        let plain = |code| asked(KeyEvent::new(code, KeyModifiers::NONE));
        for (code, meant) in [
            (KeyCode::Char('q'), Asked::Quit),
            (KeyCode::Esc, Asked::Quit),
            (KeyCode::Char('j'), Asked::Cluster(1)),
            (KeyCode::Up, Asked::Cluster(-1)),
            (KeyCode::Char(' '), Asked::Scroll(1)),
            (KeyCode::PageUp, Asked::Scroll(-1)),
            (KeyCode::Home, Asked::Top),
            (KeyCode::Char('?'), Asked::Help),
            (KeyCode::Char('x'), Asked::Nothing),
        ] {
            assert_eq!(plain(code), meant, "{code:?}");
        }
        assert_eq!(asked(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Asked::Quit);
        assert_eq!(asked(KeyEvent::new(KeyCode::Char('l'), KeyModifiers::CONTROL)), Asked::Anew);
    }
}
