//! Between those who log and the log: a bounded queue, and a thread that alone waits for whoever reads.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use super::tally::Tally;

/// Lines that wait at one time …
const MOST_LINES: usize = 2048;
/// … and their bytes.
const MOST_BYTES: usize = 4 << 20;
/// How long to wait until a full queue is looked at again, at the end alone.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Where lines are put; whoever does never waits.
#[derive(Clone)]
pub(super) struct Queue {
    lines: SyncSender<Entry>,
    bytes: Arc<AtomicUsize>,
    tally: Arc<Tally>,
}

enum Entry {
    Line(Vec<u8>),
    /// All before it is written.
    Flush(SyncSender<()>),
}

/// Writes one line to standard error.
pub(super) fn stderr(line: &[u8]) -> io::Result<()> {
    io::stderr().write_all(line)
}

impl Queue {
    /// Starts the thread that hands each line to `write`, which may wait as long as it likes.
    pub(super) fn start(
        write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
        tally: Arc<Tally>,
    ) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(MOST_LINES);
        let bytes = Arc::new(AtomicUsize::new(0));
        let queue = Self { lines, bytes: bytes.clone(), tally: tally.clone() };
        thread::Builder::new().name("log".to_owned()).spawn(move || work(&waiting, &bytes, &tally, write))?;
        Ok(queue)
    }

    /// Puts a line into the queue, or drops it where there is no room.
    pub(super) fn put(&self, line: Vec<u8>) {
        let length = line.len();
        if self.bytes.fetch_add(length, Relaxed) + length > MOST_BYTES
            || self.lines.try_send(Entry::Line(line)).is_err()
        {
            self.bytes.fetch_sub(length, Relaxed);
            self.tally.drop_one();
        }
    }

    /// Waits until all that is in the queue is written, for `within` at most.
    pub(super) fn flush(&self, within: Duration) {
        let end = Instant::now() + within;
        let (done, written) = sync_channel(1);
        let mut entry = Entry::Flush(done);
        while let Err(TrySendError::Full(again)) = self.lines.try_send(entry) {
            if Instant::now() >= end {
                return;
            }
            entry = again;
            thread::sleep(LOOK_AGAIN);
        }
        // Too late or not, we go on.
        let _ = written.recv_timeout(end.saturating_duration_since(Instant::now()));
    }
}

fn work(waiting: &Receiver<Entry>, bytes: &AtomicUsize, tally: &Tally, mut write: impl FnMut(&[u8]) -> io::Result<()>) {
    let mut is_read = false;
    loop {
        let entry = match waiting.try_recv() {
            Ok(entry) => entry,
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                // There is room again; and where the last line was lost too, there is nobody to tell.
                let left_out = if is_read { tally.take_untold() } else { 0 };
                if left_out > 0 {
                    tracing::warn!(
                        left_out,
                        "lines of the log were dropped: whoever reads it did not take them in time"
                    );
                }
                let Ok(entry) = waiting.recv() else { return };
                entry
            }
        };
        match entry {
            Entry::Line(line) => {
                bytes.fetch_sub(line.len(), Relaxed);
                is_read = write(&line).is_ok();
                if !is_read {
                    tally.drop_one();
                }
            }
            Entry::Flush(done) => drop(done.try_send(())),
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// Takes one event's text, which comes in one piece.
pub(super) struct Line<'a>(&'a Queue);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const AT_ONCE: Duration = Duration::from_secs(2);

    #[test]
    fn a_reader_that_does_not_read_holds_nobody_up_and_what_it_misses_is_counted() {
        let (tally, (go_on, gate), (sent, got)) = (Arc::new(Tally::default()), channel::<()>(), channel());
        let write = move |line: &[u8]| {
            let _ = gate.recv();
            sent.send(line.to_vec()).map_err(io::Error::other)
        };
        let queue = Queue::start(write, tally.clone()).unwrap();
        let (began, lines) = (Instant::now(), 3 * MOST_LINES);
        for number in 0..lines {
            queue.put(format!("{number}\n").into_bytes());
        }
        queue.flush(Duration::from_millis(20));
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        let dropped = usize::try_from(tally.read().dropped).unwrap();
        // One may be in the writer's hands.
        assert!((lines - MOST_LINES - 1..=lines - MOST_LINES).contains(&dropped), "{dropped} dropped");
        drop(go_on);
        queue.flush(AT_ONCE);
        let got: Vec<_> = got.try_iter().collect();
        assert_eq!(got.len(), lines - dropped);
        assert_eq!(got[0], b"0\n", "the oldest first");
    }

    #[test]
    fn its_bytes_are_bounded_too() {
        let (tally, (go_on, gate)) = (Arc::new(Tally::default()), channel::<()>());
        let write = move |_: &[u8]| {
            let _ = gate.recv();
            Ok(())
        };
        let queue = Queue::start(write, tally.clone()).unwrap();
        for _ in 0..100 {
            queue.put(vec![b'x'; MOST_BYTES / 10]);
        }
        assert!((89..=90).contains(&tally.read().dropped), "{}", tally.read().dropped);
        drop(go_on);
        queue.flush(AT_ONCE);
        assert_eq!(queue.bytes.load(Relaxed), 0);
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let tally = Arc::new(Tally::default());
        let queue = Queue::start(|_| Err(io::ErrorKind::StorageFull.into()), tally.clone()).unwrap();
        queue.put(b"x\n".to_vec());
        queue.flush(AT_ONCE);
        assert_eq!(tally.read().dropped, 1);
    }
}
