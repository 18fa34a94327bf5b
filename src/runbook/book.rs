//! One runbook file, typed: front matter that says what would be done, and the page that a person reads. Pure; what is wrong is told
//! with line and column.

mod raw;
mod step;
mod words;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::markdown::{self, Article};
use crate::config::problem::{Origin, Problem};
use crate::config::{ConfigError, duration, yaml};
use raw::{RawBook, RawLimits};
pub use step::{Hook, Step};
pub use words::{Class, Mode, Target, Trigger};

/// Larger files are not read.
pub const MAX_BYTES: u64 = 256 << 10;

/// A page has as many alerts and steps at most.
const MOST: usize = 100;

/// A runbook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Book {
    /// The file's name without `.md`; good in a URL as it is.
    pub name: String,
    /// Whose page it is.
    pub alerts: Vec<String>,
    /// What may happen at most.
    pub class: Class,
    /// Whether it is a switchover, which people alone start: the primary lives, and the fence stops it in order.
    pub planned: bool,
    /// Who decides.
    pub mode: Mode,
    /// What starts it, each once; empty only where it is planned.
    pub triggers: Vec<Trigger>,
    /// Beyond which nothing is done.
    pub limits: Limits,
    /// What is done, in this order.
    pub steps: Vec<Step>,
    /// The page below the front matter.
    pub article: Article,
    /// The whole file.
    pub text: String,
}

/// Beyond which nothing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// WAL that a promotion may lose, in bytes.
    pub max_loss_bytes: u64,
    /// How old a fact may be.
    pub max_evidence_age: Duration,
    /// How long nothing starts after a run.
    pub block_after_run: Duration,
    /// How long a stream that was moving must be silent before its sender is said to hang.
    pub hang_limit: Duration,
    /// How long an intended stop of the primary is waited for.
    pub restart_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_loss_bytes: 1 << 20,
            max_evidence_age: seconds(10),
            block_after_run: seconds(3600),
            hang_limit: seconds(3),
            restart_grace: seconds(60),
        }
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The limits that are durations, with the least and the most that is allowed.
pub const BOUNDS: [(&str, Duration, Duration); 4] = [
    ("max_evidence_age", seconds(1), seconds(600)),
    ("block_after_run", seconds(0), seconds(168 * 3600)),
    ("hang_limit", Duration::from_millis(500), seconds(600)),
    ("restart_grace", seconds(0), seconds(3600)),
];

impl Book {
    /// Reads the text of the file at `path`, whose name is the runbook's.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        Self::judge(path, text).map_err(|problem| problem.in_file(Some(path)))
    }

    fn judge(path: &Path, text: &str) -> Result<Self, Problem> {
        let name = name_of(path)?;
        if text.len() as u64 > MAX_BYTES {
            let what = format!("a runbook is at most {} KiB long: is it the right file?", MAX_BYTES >> 10);
            return Err(Problem::new(Origin::Nowhere, what));
        }
        let (front, page) = parts(text)?;
        let raw: RawBook = yaml::parse(&front)?;
        let Some(given) = &raw.class else {
            let what = format!("class is missing: use {}", either(&Class::ALL));
            return Err(Problem::new(Origin::File(1, 1), what));
        };
        let class = word(given, "class", &Class::ALL)?;
        let mode = raw.mode.as_ref().map(|given| word(given, "mode", &Mode::ALL)).transpose()?;
        let steps = step::steps(&raw.steps, class)?;
        let planned = planned(&raw, class, &steps)?;
        let book = Self {
            name,
            alerts: alerts(&raw.alerts)?,
            class,
            planned,
            mode: mode.unwrap_or(Mode::DryRun),
            triggers: if planned { Vec::new() } else { triggers(raw.trigger.as_ref(), class)? },
            limits: limits(&raw.limits)?,
            steps,
            article: article(page)?,
            text: text.to_owned(),
        };
        if let Some(guard) = raw.guards.first() {
            let what = "this version of pgvigil has no guards that can be added to those of the class: remove it";
            return Err(Problem::new(guard, what));
        }
        match &raw.mode {
            Some(given) => book.allows(book.mode).map(|()| book).map_err(|what| Problem::new(given, what)),
            None => Ok(book),
        }
    }

    /// Whether a cluster manager is asked to do it.
    pub fn delegates(&self) -> bool {
        matches!(self.steps.first(), Some(Step::Delegate { .. }))
    }

    /// Whether the steps are such that `mode` can be theirs.
    fn allows(&self, mode: Mode) -> Result<(), String> {
        if mode == Mode::DryRun {
            return Ok(());
        }
        let mode = mode.as_str();
        if self.class == Class::HumanOnly {
            return Err(format!("mode cannot be {mode} where class is human-only: remove it"));
        }
        if self.steps.is_empty() {
            return Err(format!("mode is {mode} and there are no steps: write them, or remove mode"));
        }
        let unproven = self.steps.iter().any(|step| matches!(step, Step::Fence(hook) if hook.probe.is_none()));
        let unfenced = self.steps.iter().any(|step| matches!(step, Step::Promote { .. }))
            && !self.steps.iter().any(|step| matches!(step, Step::Fence(_)));
        if self.mode == Mode::Automatic && (unproven || unfenced) {
            let what =
                "mode can be automatic only with a fence that has a probe, before the promotion: add it, or use manual";
            return Err(what.to_owned());
        }
        if self.mode == Mode::Automatic && self.delegates() && !self.planned {
            let what = "mode cannot be automatic where a failover is delegated, since Patroni looks neither at lag nor at timelines \
                        then: use manual, or set planned";
            return Err(what.to_owned());
        }
        Ok(())
    }
}

/// The runbook's name: that of its file without `.md`.
fn name_of(path: &Path) -> Result<String, Problem> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| is_name(stem));
    stem.map(str::to_owned).ok_or_else(|| {
        let what = "a runbook's file is called by an alert: 1 to 100 of A-Z, a-z, 0-9, dash and underscore, beginning with a letter, then .md";
        Problem::new(Origin::Nowhere, what)
    })
}

/// A name of an alert or a page, which stands in URLs.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=100).contains(&name.len()) && name.bytes().all(plain) && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Front matter, on the lines where it stands in the file, and the page below it.
fn parts(text: &str) -> Result<(String, &str), Problem> {
    let is_rule = |line: &str| line.trim_end() == "---";
    let mut lines = text.split_inclusive('\n');
    let first = lines.next().unwrap_or_default();
    if !is_rule(first) {
        let what = "a runbook begins with front matter: a line of ---, keys such as class, and --- again";
        return Err(Problem::new(Origin::File(1, 1), what));
    }
    let mut front = String::from("\n");
    let mut end = first.len();
    for line in lines {
        end += line.len();
        if is_rule(line) {
            return Ok((front, text.get(end..).unwrap_or_default()));
        }
        front.push_str(line);
    }
    Err(Problem::new(Origin::File(1, 1), "the front matter that begins here has no end: write --- on a line below it"))
}

fn article(page: &str) -> Result<Article, Problem> {
    if page.trim().is_empty() {
        let what = "there is nothing below the front matter: write the page that a person reads";
        return Err(Problem::new(Origin::Nowhere, what));
    }
    markdown::render(page).map_err(|error| Problem::new(Origin::Nowhere, error.to_string()))
}

fn alerts(given: &[Spanned<String>]) -> Result<Vec<String>, Problem> {
    let mut alerts: Vec<String> = Vec::new();
    for alert in given {
        if !is_name(&alert.value) {
            let what =
                "this is no alert's name: 1 to 100 of A-Z, a-z, 0-9, dash and underscore, beginning with a letter";
            return Err(Problem::new(alert, what));
        }
        if alerts.contains(&alert.value) {
            return Err(Problem::new(alert, format!("alerts names {} twice: keep one", alert.value)));
        }
        if alerts.len() == MOST {
            return Err(Problem::new(alert, format!("alerts names more than {MOST}: write more pages")));
        }
        alerts.push(alert.value.clone());
    }
    Ok(alerts)
}

/// Whether it is a switchover, and can be one.
fn planned(raw: &RawBook, class: Class, steps: &[Step]) -> Result<bool, Problem> {
    let Some(given) = raw.planned.as_ref().filter(|planned| planned.value) else { return Ok(false) };
    if class != Class::Failover {
        let what = "planned can be true only where class is failover: use that class, or remove it";
        return Err(Problem::new(given, what));
    }
    if let Some(trigger) = &raw.trigger {
        let what = "people alone start what is planned: remove trigger, or planned";
        return Err(Problem::new(trigger, what));
    }
    if steps.iter().any(|step| matches!(step, Step::Delegate { .. })) {
        return Ok(true);
    }
    let promotion = steps.iter().position(|step| matches!(step, Step::Promote { .. })).unwrap_or(steps.len());
    let mut fences = steps.iter().take(promotion).filter_map(|step| match step {
        Step::Fence(hook) => Some(hook.probe.is_some() && hook.undo.is_some()),
        _ => None,
    });
    if promotion == steps.len() || fences.next() != Some(true) || fences.next().is_some() {
        let what = "what is planned has one fence, which stops the primary, with a probe and an undo, and a promote after it: \
                    add what is missing, or remove planned";
        return Err(Problem::new(given, what));
    }
    Ok(true)
}

fn triggers(given: Option<&Spanned<Vec<Spanned<String>>>>, class: Class) -> Result<Vec<Trigger>, Problem> {
    let Some(given) = given else { return Ok(vec![Trigger::Alert]) };
    let mut triggers = Vec::new();
    for word_of in &given.value {
        let trigger = word(word_of, "trigger", &Trigger::ALL)?;
        if triggers.contains(&trigger) {
            return Err(Problem::new(word_of, format!("trigger names {} twice: keep one", trigger.as_str())));
        }
        if trigger == Trigger::Observation && class != Class::Failover {
            let what = "trigger can be observation only where class is failover: use alert, or remove it";
            return Err(Problem::new(word_of, what));
        }
        triggers.push(trigger);
    }
    match triggers.is_empty() {
        true => Err(Problem::new(given, "trigger is empty: use alert, observation or both, or remove it")),
        false => Ok(triggers),
    }
}

fn limits(raw: &RawLimits) -> Result<Limits, Problem> {
    let default = Limits::default();
    let duration = |key: &str, given: &Option<Spanned<String>>, default| match given {
        None => Ok(default),
        Some(given) => {
            let bounds = BOUNDS.iter().find(|(known, ..)| *known == key);
            let (least, most) = bounds.map_or((Duration::ZERO, Duration::MAX), |(_, least, most)| (*least, *most));
            let within = duration::within(&given.value, least, most);
            within.map_err(|why| Problem::new(given, format!("limits.{key} {why}")))
        }
    };
    let max_loss_bytes = match &raw.max_loss_bytes {
        None => default.max_loss_bytes,
        Some(given) => given
            .value
            .parse()
            .map_err(|_| Problem::new(given, "limits.max_loss_bytes is not a number of bytes such as 1048576, or 0"))?,
    };
    Ok(Limits {
        max_loss_bytes,
        max_evidence_age: duration("max_evidence_age", &raw.max_evidence_age, default.max_evidence_age)?,
        block_after_run: duration("block_after_run", &raw.block_after_run, default.block_after_run)?,
        hang_limit: duration("hang_limit", &raw.hang_limit, default.hang_limit)?,
        restart_grace: duration("restart_grace", &raw.restart_grace, default.restart_grace)?,
    })
}

/// What a word stands for. It is not shown: it may be anything.
fn word<T: Copy>(given: &Spanned<String>, key: &str, all: &[(&str, T)]) -> Result<T, Problem> {
    let known = all.iter().find(|(word, _)| *word == given.value).map(|(_, value)| *value);
    known.ok_or_else(|| Problem::new(given, format!("{key} is none that there is: use {}", either(all))))
}

/// `a, b or c`.
fn either<T>(all: &[(&str, T)]) -> String {
    let words: Vec<_> = all.iter().map(|(word, _)| *word).collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
