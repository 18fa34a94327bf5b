//! The log: one line an event, on standard error or to the journal. Writing it never holds up who has something to say: what the
//! log's reader does not take in time is dropped, and counted.

mod journal;
mod queue;
mod tally;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, fmt, registry};

use crate::metric::own::LogEvents;
use queue::Queue;
use tally::{Counting, Tally};

/// Where systemd's journal listens.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// How long the end waits for lines that are not yet written.
const FLUSH_DEADLINE: Duration = Duration::from_millis(500);

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Time, level, module, message and fields, for people.
    Text,
    /// An object a line.
    Json,
    /// An entry of systemd's journal, with its fields.
    Journald,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The journal.
    #[error("--log-format journald: the journal at {JOURNAL} cannot be reached: {0}; choose text or json")]
    Journal(io::Error),
    /// The thread that writes.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(io::Error),
    /// Somebody else has it.
    #[error("another log was started before")]
    Twice,
}

/// The log of this process.
#[derive(Clone)]
pub struct Log {
    tally: Arc<Tally>,
    queue: Queue,
}

impl Log {
    /// Starts the log of this process: what passes `filter` is written from now on.
    pub fn start(format: Format, filter: EnvFilter) -> Result<Self, LogError> {
        let tally = Arc::new(Tally::default());
        let all = registry().with(filter).with(Counting(tally.clone()));
        let (queue, started) = match format {
            Format::Text => {
                let queue = Queue::start(queue::stderr, tally.clone()).map_err(LogError::Thread)?;
                // A log that cannot be written must not end who writes it, nor be told of in the log.
                let lines = fmt::layer().log_internal_errors(false).with_writer(queue.clone());
                (queue, tracing::subscriber::set_global_default(all.with(lines)))
            }
            Format::Json => {
                let queue = Queue::start(queue::stderr, tally.clone()).map_err(LogError::Thread)?;
                let lines = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
                let lines = lines.log_internal_errors(false).with_writer(queue.clone());
                (queue, tracing::subscriber::set_global_default(all.with(lines)))
            }
            Format::Journald => {
                let send = journal::sender(Path::new(JOURNAL)).map_err(LogError::Journal)?;
                let queue = Queue::start(send, tally.clone()).map_err(LogError::Thread)?;
                (queue.clone(), tracing::subscriber::set_global_default(all.with(journal::Journal(queue))))
            }
        };
        started.map_err(|_| LogError::Twice)?;
        Ok(Self { tally, queue })
    }

    /// What was logged until now.
    pub fn events(&self) -> LogEvents {
        self.tally.read()
    }

    /// Waits until all lines are written, but not for long.
    pub fn flush(&self) {
        self.queue.flush(FLUSH_DEADLINE);
    }
}
