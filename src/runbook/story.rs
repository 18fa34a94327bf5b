//! What happened to the newest runs, a line each, for a page to show without reading the journal again.

use std::collections::VecDeque;

use crate::clock::Wall;

/// So many runs are remembered; the next takes the place of the oldest.
const MOST_RUNS: usize = 64;
/// So many lines of one run: beyond, the oldest go but the first.
const MOST_LINES: usize = 200;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When it was written down.
    pub at: Wall,
    /// Its kind.
    pub kind: &'static str,
    /// In one sentence.
    pub words: String,
}

/// The runs by their ids, the oldest first, each with its lines.
#[derive(Debug, Default)]
pub struct Stories(VecDeque<(String, Vec<Line>)>);

impl Stories {
    /// Adds a line.
    pub fn tell(&mut self, run: &str, line: Line) {
        // What happens happens to the newest.
        if let Some((_, lines)) = self.0.iter_mut().rev().find(|(id, _)| id == run) {
            if lines.len() == MOST_LINES {
                lines.remove(1);
            }
            lines.push(line);
            return;
        }
        if self.0.len() == MOST_RUNS {
            self.0.pop_front();
        }
        self.0.push_back((run.to_owned(), vec![line]));
    }

    /// What happened to a run, the oldest first; nothing of one that is not remembered.
    pub fn of(&self, run: &str) -> &[Line] {
        self.0.iter().find(|(id, _)| id == run).map_or(&[], |(_, lines)| lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize) -> Line {
        Line { at: Wall::default(), kind: "did", words: number.to_string() }
    }

    #[test]
    fn the_newest_runs_are_remembered_with_their_beginning_and_their_end() {
        let mut stories = Stories::default();
        for run in 0..MOST_RUNS + 3 {
            for number in 0..MOST_LINES + 5 {
                stories.tell(&run.to_string(), line(number));
            }
        }
        assert_eq!((stories.0.len(), stories.of("2").len()), (MOST_RUNS, 0));
        let words: Vec<_> = stories.of("3").iter().map(|line| line.words.as_str()).collect();
        assert_eq!((words.len(), &words[..2], words[MOST_LINES - 1]), (MOST_LINES, &["0", "6"][..], "204"));
    }
}
