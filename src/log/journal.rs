//! systemd's journal in its own protocol: a datagram an entry, with the fields of the event as fields of the entry.

use std::fmt::{self, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::queue::Queue;

/// Sends entries to the journal that listens at `path`. It may wait, while the journal does not read.
pub(super) fn sender(path: &Path) -> io::Result<impl FnMut(&[u8]) -> io::Result<()> + Send + 'static> {
    let (socket, path) = (UnixDatagram::unbound()?, PathBuf::from(path));
    // An entry of no field is none, and tells whether somebody is there.
    socket.send_to(b"", &path)?;
    Ok(move |entry: &[u8]| socket.send_to(entry, &path).map(drop))
}

/// Turns events into entries.
pub(super) struct Journal(pub(super) Queue);

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        self.0.put(entry(*event.metadata().level(), event.metadata().target(), &words));
    }
}

/// What an event says.
#[derive(Default)]
struct Words {
    message: String,
    /// Name and value, in the event's order.
    fields: Vec<(&'static str, String)>,
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields.push((name, format!("{value:?}"))),
        }
    }
}

fn entry(level: Level, target: &str, words: &Words) -> Vec<u8> {
    let priority = match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    };
    // journalctl shows the message alone, and it is nothing without its node.
    let mut message = words.message.clone();
    for (name, value) in &words.fields {
        let _ = write!(message, " {name}={value}");
    }
    let mut entry = Vec::new();
    for (name, value) in [("PRIORITY", priority), ("SYSLOG_IDENTIFIER", "pgvigil"), ("TARGET", target)] {
        field(&mut entry, name, value);
    }
    field(&mut entry, "MESSAGE", &message);
    for (name, value) in &words.fields {
        field(&mut entry, &name.to_ascii_uppercase(), value);
    }
    entry
}

/// In the form that any value can have: name, line feed, length, value, line feed.
fn field(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'\n');
    entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::registry;

    use super::super::tally::Tally;
    use super::*;

    /// A journal of our own.
    struct Listener(UnixDatagram, PathBuf);

    impl Listener {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("pgvigil-journal-{name}-{}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            Self(socket, path)
        }

        fn next(&self) -> Vec<(String, String)> {
            let mut bytes = vec![0; 65536];
            let length = self.0.recv(&mut bytes).unwrap();
            let (mut rest, mut fields) = (&bytes[..length], Vec::new());
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let size = u64::from_le_bytes(rest[end + 1..end + 9].try_into().unwrap()) as usize;
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                fields.push((text(&rest[..end]), text(&rest[end + 9..end + 9 + size])));
                rest = &rest[end + 10 + size..];
            }
            fields
        }
    }

    impl Drop for Listener {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.1);
        }
    }

    #[test]
    fn an_event_is_an_entry_with_its_fields() {
        let listener = Listener::new("fields");
        let queue = Queue::start(sender(&listener.1).unwrap(), Arc::default()).unwrap();
        assert!(listener.next().is_empty(), "the first tells only that we are there");
        tracing::subscriber::with_default(registry().with(Journal(queue)), || {
            let left_out = None::<u64>;
            tracing::warn!(cluster = "lab", node = "a", left_out, clusters = 2, "it\nfailed");
        });
        let expected = [
            ("PRIORITY", "4"),
            ("SYSLOG_IDENTIFIER", "pgvigil"),
            ("TARGET", "pgvigil::log::journal::tests"),
            ("MESSAGE", "it\nfailed cluster=lab node=a clusters=2"),
            ("CLUSTER", "lab"),
            ("NODE", "a"),
            ("CLUSTERS", "2"),
        ];
        assert_eq!(listener.next(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_journal_that_stands_still_holds_nobody_up() {
        let listener = Listener::new("stopped");
        let tally = Arc::new(Tally::default());
        let queue = Queue::start(sender(&listener.1).unwrap(), tally.clone()).unwrap();
        let began = Instant::now();
        tracing::subscriber::with_default(registry().with(Journal(queue)), || {
            for _ in 0..5000 {
                tracing::info!("nobody reads this");
            }
        });
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(tally.read().dropped > 1000, "{:?}", tally.read());
    }

    #[test]
    fn no_journal_is_an_error_at_once() {
        assert!(sender(Path::new("/none/journal")).is_err());
    }
}
