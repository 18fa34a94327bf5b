//! Takes in alerts: whoever hands some in waits until they are in the journal and on disk. One thread writes, and those who come while
//! it does share its next write.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::chain::MOST_LINE_BYTES;
use super::journal::{Journal, JournalError, Limits};
use super::record::{Entry, Opened};
use super::run::{Event, Run, RunRecord};
use super::runs::Runs;
use super::seen::{Outcome, Seen};
use crate::clock::{Moment, Mono};
use crate::metric::runbooks::{Ended, Runbooks};
use crate::metric::webhook::Webhook;
use crate::observe::state_file::boot_id;
use crate::observe::voice::Voice;

/// Requests at one time, from the first byte of their body to their answer. One more waits.
const PLACES: usize = 64;
/// A request that waits longer, for its place or for the disk, is told to come again.
const DEADLINE: Duration = Duration::from_secs(5);
/// A journal that could not be opened or written is tried again so often, if somebody asks.
const TRY_EACH: Duration = Duration::from_secs(1);
/// What is written at once holds no more alerts than this and those of one more request.
const ALERTS_AT_ONCE: usize = 1024;
/// Likewise, in bytes of the requests' bodies.
const BYTES_AT_ONCE: usize = 2 << 20;

/// What the engine writes is no longer, in bytes: with its number, its times and its checksum it is a line of the journal.
const MOST_RECORD_BYTES: usize = MOST_LINE_BYTES - (1 << 10);

/// Why alerts were not taken in. They may be in the journal all the same, and are duplicates then when they come again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// Too many are handed in, or the disk does not answer.
    #[error("the alerts could not be written within {} s: the disk of state_dir is slow or hangs, or too many come at once", DEADLINE.as_secs())]
    Late,
    /// A record would be longer than the journal takes. Nothing was written, and others go on.
    #[error(
        "a record of {0} bytes is longer than the journal takes ({MOST_RECORD_BYTES}): shorten the runbook's steps"
    )]
    TooLarge(usize),
    /// The journal's own word.
    #[error("{0}")]
    Journal(Arc<str>),
}

/// The one who takes in.
pub struct Intake {
    queue: mpsc::Sender<Delivery>,
    places: Semaphore,
    told: Arc<Mutex<Webhook>>,
    ended: Arc<Mutex<Ended>>,
    runs: Arc<Mutex<Runs>>,
    /// Rises with everything that was written or told again.
    changes: watch::Receiver<u64>,
}

/// The right to begin a step once: that it begins is on disk.
#[derive(Debug)]
pub struct Intent {
    step: usize,
    attempt: u32,
}

impl Intent {
    /// The step's number.
    pub const fn step(&self) -> usize {
        self.step
    }

    /// From 1 on.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// A place among those who are served.
pub struct Place<'a>(&'a Intake, #[expect(dead_code, reason = "held")] SemaphorePermit<'a>);

struct Delivery {
    entries: Vec<Entry>,
    bytes: usize,
    answer: oneshot::Sender<Result<Vec<Outcome>, IntakeError>>,
}

impl Intake {
    /// Starts the thread that writes the journal in `dir`. `at_once`: it is opened now, so that what is wrong with it is said before an
    /// alert comes; otherwise when one does.
    pub fn start(dir: PathBuf, at_once: bool) -> io::Result<Arc<Self>> {
        let (queue, deliveries) = mpsc::channel(PLACES);
        let (told, runs) = (Arc::<Mutex<Webhook>>::default(), Arc::<Mutex<Runs>>::default());
        let ended = Arc::<Mutex<Ended>>::default();
        let (change, changes) = watch::channel(0);
        let desk = Desk {
            dir,
            open: None,
            last: None,
            voice: Voice::default(),
            told: told.clone(),
            ended: ended.clone(),
            runs: runs.clone(),
            change,
        };
        std::thread::Builder::new().name("journal".to_owned()).spawn(move || desk.run(deliveries, at_once))?;
        Ok(Arc::new(Self { queue, places: Semaphore::new(PLACES), told, ended, runs, changes }))
    }

    /// What was counted.
    pub fn told(&self) -> Webhook {
        lock(&self.told).clone()
    }

    /// How runs stand, of these clusters and all that have any.
    pub fn runbooks(&self, clusters: impl IntoIterator<Item = String>) -> Runbooks {
        let is_open = lock(&self.told).bytes.is_some();
        // One after the other: the thread that writes counts what ended while it holds the runs.
        let ended = lock(&self.ended).clone();
        let runs = lock(&self.runs);
        Runbooks::of(ended, is_open.then_some(&*runs), clusters)
    }

    /// Counts a request that was answered.
    pub fn answered(&self, code: u16, seconds: f64) {
        lock(&self.told).answered(code, seconds);
    }

    /// The runs and alerts as the journal has them.
    pub fn runs(&self) -> MutexGuard<'_, Runs> {
        lock(&self.runs)
    }

    /// Tells of everything that is written from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// Writes what the engine does, ahead of it. It is on disk then, and in [`Intake::runs`].
    pub async fn write(&self, entries: Vec<Entry>) -> Result<(), IntakeError> {
        let sizes = entries.iter().map(|entry| serde_json::to_string(entry).map_or(usize::MAX, |text| text.len()));
        if let Some(size) = sizes.max().filter(|size| *size > MOST_RECORD_BYTES) {
            return Err(IntakeError::TooLarge(size));
        }
        let (answer, answered) = oneshot::channel();
        let delivery = Delivery { entries, bytes: 0, answer };
        match timeout(DEADLINE, self.queue.send(delivery)).await {
            Ok(Ok(())) => {}
            _ => return Err(IntakeError::Late),
        }
        match timeout(DEADLINE, answered).await {
            Ok(Ok(result)) => result.map(drop),
            _ => Err(IntakeError::Late),
        }
    }

    /// Writes down that the next step of `run` begins. Nothing else makes an [`Intent`], and nothing is done without one.
    pub async fn intend(&self, run: &Run) -> Result<Intent, IntakeError> {
        let (step, attempt) = (run.step, run.attempt + 1);
        let event = Event::Intended { step, attempt };
        self.write(vec![Entry::Run(RunRecord { run: run.id.clone(), event })]).await?;
        Ok(Intent { step, attempt })
    }

    /// A place, when there is one.
    pub async fn place(&self) -> Result<Place<'_>, IntakeError> {
        match timeout(DEADLINE, self.places.acquire()).await {
            Ok(Ok(permit)) => Ok(Place(self, permit)),
            _ => Err(IntakeError::Late),
        }
    }
}

impl Place<'_> {
    /// Writes what is new of `entries`, which came in a body of so many bytes, and says of each what it is. It is on disk then.
    pub async fn take(self, entries: Vec<Entry>, bytes: usize) -> Result<Vec<Outcome>, IntakeError> {
        let (answer, answered) = oneshot::channel();
        self.0.queue.try_send(Delivery { entries, bytes, answer }).map_err(|_| IntakeError::Late)?;
        match timeout(DEADLINE, answered).await {
            Ok(Ok(result)) => result,
            _ => {
                // Until the thread says otherwise.
                lock(&self.0.told).writable = Some(false);
                Err(IntakeError::Late)
            }
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread that writes.
struct Desk {
    dir: PathBuf,
    open: Option<Open>,
    /// When the journal was last opened or failed, and why.
    last: Option<(Mono, IntakeError)>,
    voice: Voice,
    told: Arc<Mutex<Webhook>>,
    ended: Arc<Mutex<Ended>>,
    runs: Arc<Mutex<Runs>>,
    change: watch::Sender<u64>,
}

/// The journal, with what it remembers.
struct Open {
    journal: Journal,
    seen: Seen,
    /// Whether this process has written that it writes.
    is_named: bool,
}

impl Desk {
    fn run(mut self, mut deliveries: mpsc::Receiver<Delivery>, at_once: bool) {
        if at_once {
            self.open();
        }
        while let Some(first) = deliveries.blocking_recv() {
            let (mut alerts, mut bytes) = (first.entries.len(), first.bytes);
            let mut batch = vec![first];
            while alerts < ALERTS_AT_ONCE
                && bytes < BYTES_AT_ONCE
                && let Ok(next) = deliveries.try_recv()
            {
                alerts += next.entries.len();
                bytes += next.bytes;
                batch.push(next);
            }
            self.serve(batch);
        }
    }

    fn serve(&mut self, batch: Vec<Delivery>) {
        let (asked, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|it| (it.entries, it.answer)).unzip();
        let mut results = match self.write(asked) {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); answers.len()],
        }
        .into_iter();
        for answer in answers {
            if let Some(result) = results.next() {
                // Whoever asked may be gone; what was written stays.
                let _ = answer.send(result);
            }
        }
    }

    /// Writes what is new of each request, all at once.
    fn write(&mut self, asked: Vec<Vec<Entry>>) -> Result<Vec<Vec<Outcome>>, IntakeError> {
        self.open();
        let Some(open) = &mut self.open else {
            return Err(self.last.as_ref().map_or(IntakeError::Late, |(_, why)| why.clone()));
        };
        let (mut new, mut again) = (Vec::new(), Vec::new());
        let mut outcomes = Vec::new();
        for entries in asked {
            let mut of_one = Vec::new();
            for entry in entries {
                match open.seen.take(&entry) {
                    Some(Outcome::Duplicate) => {
                        of_one.push(Outcome::Duplicate);
                        again.push(entry);
                    }
                    outcome => {
                        of_one.extend(outcome);
                        new.push(entry);
                    }
                }
            }
            outcomes.push(of_one);
        }
        let told: Vec<_> = new.iter().map(News::of).collect();
        if !new.is_empty() {
            if !open.is_named {
                let opened = Opened { version: env!("CARGO_PKG_VERSION").to_owned(), boot_id: boot_id() };
                new.insert(0, Entry::Opened(opened));
            }
            match open.journal.append(new, Moment::now()) {
                Ok(records) => {
                    open.is_named = true;
                    let mut runs = lock(&self.runs);
                    for record in &records {
                        runs.take(record);
                        if let Entry::Run(told) = &record.entry
                            && matches!(told.event, Event::Ended { .. })
                            && let Some(run) = runs.get(&told.run)
                        {
                            lock(&self.ended).count(run);
                        }
                    }
                    open.journal.keep_from(runs.needed().unwrap_or(u64::MAX));
                }
                Err(error) => return Err(self.fail(&error)),
            }
        }
        {
            let (mut runs, now) = (lock(&self.runs), Moment::now());
            again.iter().for_each(|entry| runs.hear(entry, now));
        }
        let bytes = open.journal.bytes();
        self.change.send_modify(|number| *number += 1);
        self.well(bytes);
        for news in told.iter().flatten() {
            self.tell(news);
        }
        lock(&self.told).took(&outcomes.concat());
        Ok(outcomes)
    }

    /// Opens the journal, unless that was tried a moment ago.
    fn open(&mut self) {
        let now = Mono::now();
        if self.open.is_some() || self.last.as_ref().is_some_and(|(at, _)| now.since(*at) < TRY_EACH) {
            return;
        }
        let (mut seen, mut runs) = (Seen::default(), Runs::default());
        let opened = Journal::open(&self.dir, Limits::default(), |record| {
            seen.take(&record.entry);
            runs.take(&record);
        });
        match opened {
            Ok((mut journal, cut)) => {
                journal.keep_from(runs.needed().unwrap_or(u64::MAX));
                *lock(&self.runs) = runs;
                self.change.send_modify(|number| *number += 1);
                if let Some(cut) = cut {
                    tracing::warn!("the end of the journal was cut off: {}", cut.0);
                }
                lock(&self.told).bytes = Some(journal.bytes());
                // One that was written well before must show that it can be again.
                lock(&self.told).writable.get_or_insert(true);
                self.open = Some(Open { journal, seen, is_named: false });
            }
            Err(error) => {
                self.fail(&error);
            }
        }
    }

    /// The journal is closed: only reading it again tells what is there.
    fn fail(&mut self, error: &JournalError) -> IntakeError {
        self.open = None;
        let why = error.to_string();
        let now = Mono::now();
        {
            let mut told = lock(&self.told);
            (told.writable, told.bytes) = (Some(false), None);
            told.errors += 1;
        }
        if let Some(left_out) = self.voice.changes("journal", &why, now) {
            tracing::error!(
                left_out = (left_out > 0).then_some(left_out),
                "{why}; alerts are refused with 503 until then"
            );
        }
        let error = IntakeError::Journal(why.into());
        self.last = Some((now, error.clone()));
        error
    }

    fn well(&mut self, bytes: u64) {
        {
            let mut told = lock(&self.told);
            (told.writable, told.bytes) = (Some(true), Some(bytes));
        }
        if let Some(left_out) = self.voice.changes("journal", "", Mono::now()) {
            tracing::info!(left_out = (left_out > 0).then_some(left_out), "the journal is written again");
        }
    }

    /// One line for an alert that was written.
    fn tell(&mut self, news: &News) {
        let topic = if news.is_ours { "received" } else { "ignored" };
        let Some(left_out) = self.voice.happens(topic, Mono::now()) else { return };
        let left_out = (left_out > 0).then_some(left_out);
        let News { alert, cluster, status, why, .. } = news;
        if news.is_ours {
            tracing::info!(cluster, alert, status, left_out, "an alert was recorded");
        } else {
            tracing::warn!(alert, status, left_out, "an alert was ignored: {why}");
        }
    }
}

/// What is said of an alert.
struct News {
    is_ours: bool,
    alert: String,
    cluster: String,
    status: &'static str,
    why: String,
}

impl News {
    fn of(entry: &Entry) -> Option<Self> {
        let heard = entry.alert()?;
        // What others wrote must not fill the log.
        let short = |text: Option<&str>| text.unwrap_or_default().chars().take(80).collect::<String>();
        let cluster = short(heard.cluster());
        let (is_ours, why) = match entry {
            Entry::Ignored(ignored) => (false, ignored.reason.sentence(&cluster)),
            _ => (true, String::new()),
        };
        Some(Self { is_ours, alert: short(heard.alertname()), cluster, status: heard.status.as_str(), why })
    }
}
