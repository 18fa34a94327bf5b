//! What may be said and what was: a change is one line, and what keeps changing is bounded.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Mono;

/// So many lines on a topic in a row, as when a server is stopped and started again twice …
const IN_A_ROW: u32 = 10;
/// … and then one each, whatever changes.
const ONE_EACH: Duration = Duration::from_secs(60);

/// The topics of one node or cluster, or of pgvigil itself, each with what was said of it last.
#[derive(Debug, Default)]
pub struct Voice {
    topics: BTreeMap<&'static str, Topic>,
}

#[derive(Debug)]
struct Topic {
    /// What the log's reader believes; empty: nothing, or that all is well.
    said: String,
    /// What was true when we last looked.
    seen: String,
    lines: u32,
    filled: Mono,
    left_out: u64,
}

impl Voice {
    /// Whether to say that `topic` is now `what` (empty: well). `Some`: yes, and so many changes before it went unsaid. What lasts is
    /// said once; if there was no room for it, as soon as there is and it still lasts, so that the last line is true in the end.
    pub fn changes(&mut self, topic: &'static str, what: &str, now: Mono) -> Option<u64> {
        let topic = self.topics.entry(topic).or_insert_with(|| Topic::new(now));
        let changed = topic.seen != what;
        if changed {
            what.clone_into(&mut topic.seen);
        }
        if topic.said == what {
            return None;
        }
        let left_out = topic.takes_a_line(now, u64::from(changed))?;
        what.clone_into(&mut topic.said);
        Some(left_out)
    }

    /// Whether to say that `topic` happened once more, where each time is news, but not that often. As with [`Self::changes`].
    pub fn happens(&mut self, topic: &'static str, now: Mono) -> Option<u64> {
        self.topics.entry(topic).or_insert_with(|| Topic::new(now)).takes_a_line(now, 1)
    }
}

impl Topic {
    const fn new(now: Mono) -> Self {
        Self { said: String::new(), seen: String::new(), lines: IN_A_ROW, filled: now, left_out: 0 }
    }

    /// How many events went unsaid before this one; `None`: so does this one, which is `events` of them.
    fn takes_a_line(&mut self, now: Mono, events: u64) -> Option<u64> {
        self.fill(now);
        if self.lines == 0 {
            self.left_out += events;
            return None;
        }
        self.lines -= 1;
        Some(std::mem::take(&mut self.left_out))
    }

    fn fill(&mut self, now: Mono) {
        while self.lines < IN_A_ROW && now.since(self.filled) >= ONE_EACH {
            self.lines += 1;
            self.filled = self.filled.plus(ONE_EACH);
        }
        if self.lines == IN_A_ROW {
            self.filled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: u64) -> Mono {
        Mono::from_nanos(second * 1_000_000_000)
    }

    #[test]
    fn what_lasts_is_said_once_and_so_is_its_end() {
        let mut voice = Voice::default();
        assert_eq!(voice.changes("login", "", second(0)), None, "that all is well from the start is no news");
        assert_eq!(voice.changes("login", "full", second(1)), Some(0));
        assert!((2..10_000).all(|now| voice.changes("login", "full", second(now)).is_none()));
        assert_eq!(voice.changes("reading", "refused", second(10_000)), Some(0), "topics do not mix");
        assert_eq!(voice.changes("login", "", second(10_000)), Some(0));
        assert_eq!(voice.changes("login", "full", second(10_001)), Some(0), "again is news");
    }

    #[test]
    fn what_alternates_is_bounded_and_counted() {
        let mut voice = Voice::default();
        let mut lines = Vec::new();
        for now in 0..3600 {
            let what = if now % 2 == 0 { "refused" } else { "reset" };
            lines.extend(voice.changes("reading", what, second(now)));
        }
        let bound = IN_A_ROW as usize + 60;
        assert!((bound - 2..=bound).contains(&lines.len()), "{}", lines.len());
        assert!(lines.iter().sum::<u64>() > 1_500, "{lines:?}");
    }

    #[test]
    fn what_happens_again_is_said_again_but_not_that_often() {
        let mut voice = Voice::default();
        let said: Vec<_> = (0..1200).filter_map(|now| voice.happens("reload", second(now / 10))).collect();
        assert_eq!(said, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 590]);
        assert_eq!(voice.happens("reload", second(10_000)), Some(599));
    }

    #[test]
    fn the_last_word_is_said_in_the_end() {
        let mut voice = Voice::default();
        for now in 0..100 {
            voice.changes("reading", if now % 2 == 0 { "refused" } else { "up" }, Mono::from_nanos(now));
        }
        // It stays refused: the log must not end with "up".
        let said: Vec<_> = (1..300).filter(|now| voice.changes("reading", "refused", second(*now)).is_some()).collect();
        assert_eq!(said, [60]);
    }
}
