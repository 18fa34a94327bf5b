//! Timeline history files: where each ancestor of a timeline was left.

use crate::pg::lsn::{Lsn, Timeline};

/// Larger files are none.
pub const MAX_BYTES: u64 = 1 << 20;

/// An ancestor, with where its line was left for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// The timeline.
    pub timeline: Timeline,
    /// The first position that is no longer its own.
    pub fork: Lsn,
}

/// Reads the text of `<timeline>.history`, oldest ancestor first; `None` if a server would refuse it.
pub fn parse(timeline: Timeline, text: &str) -> Option<Vec<Ancestor>> {
    let mut ancestors: Vec<Ancestor> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let ancestor = Ancestor { timeline: Timeline(words.next()?.parse().ok()?), fork: words.next()?.parse().ok()? };
        let in_order =
            ancestors.last().is_none_or(|last| last.timeline < ancestor.timeline && last.fork <= ancestor.fork);
        if !in_order || ancestor.timeline >= timeline {
            return None;
        }
        ancestors.push(ancestor);
    }
    (!ancestors.is_empty()).then_some(ancestors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_write() {
        let text = "1\t0/5000000\tno recovery target specified\n\n2\t1/A0001C8\tbefore 2000-01-01 05:30:00+05:30\n";
        let ancestor = |timeline, fork| Ancestor { timeline: Timeline(timeline), fork: Lsn(fork) };
        assert_eq!(parse(Timeline(3), text), Some(vec![ancestor(1, 0x500_0000), ancestor(2, 0x1_0A00_01C8)]));
    }

    #[test]
    fn refuses_what_servers_refuse() {
        for text in
            ["", "# nothing\n", "1\n", "1\tx\n", "one\t0/1\n", "2\t0/1\n1\t0/2\n", "1\t0/2\n2\t0/1\n", "3\t0/1\n", "\0"]
        {
            assert_eq!(parse(Timeline(3), text), None, "{text:?}");
        }
    }
}
