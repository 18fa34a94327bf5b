//! The steps of a runbook, and which of them can follow which.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::raw::{RawFence, RawRun, RawSql, RawStep, RawVerify, RawWait};
use super::words::{Class, Target};
use super::{MOST, either, is_name, seconds, word};
use crate::config::duration;
use crate::config::problem::Problem;

/// A hook has as many arguments at most.
const MOST_ARGUMENTS: usize = 64;
/// All steps of a runbook, as its runs keep them in the journal, are no longer, in bytes: what the guards saw has to fit beside them.
const MOST_STEPS_BYTES: usize = 32 << 10;
/// No argument and no statement is longer, in bytes.
const LONGEST: usize = 16 << 10;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Keeps the old primary from writing, for good.
    Fence(Hook),
    /// Makes the candidate the primary.
    Promote {
        /// How long it may take.
        timeout: Duration,
    },
    /// Asks the cluster manager for a switchover or, where nobody leads, a failover. It does all that a promotion needs.
    Delegate {
        /// How long it may take.
        timeout: Duration,
    },
    /// Lets the other standbys follow the new primary.
    Repoint {
        /// How long each may take.
        timeout: Duration,
    },
    /// Runs a hook.
    Run {
        /// What it is called in reports; unique in its runbook.
        name: String,
        /// The hook.
        hook: Hook,
    },
    /// Runs a statement.
    Sql {
        /// On which servers.
        on: Target,
        /// The statement.
        statement: String,
        /// How long it may take on each.
        timeout: Duration,
        /// Whether it may run twice.
        idempotent: bool,
    },
    /// Does nothing for so long.
    Wait(Duration),
    /// Looks whether it came about.
    Verify {
        /// Exactly one node accepts writes.
        one_writable: bool,
        /// All other nodes stream from it within this.
        standbys_streaming_within: Option<Duration>,
    },
}

/// A program that is run, never through a shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// The program, by its whole path, and its arguments.
    pub argv: Vec<String>,
    /// The program that says whether it is done.
    pub probe: Option<Vec<String>>,
    /// The program that undoes it, where nothing was promoted after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Vec<String>>,
    /// How long it may take.
    pub timeout: Duration,
    /// Whether it may run twice.
    pub idempotent: bool,
}

impl Step {
    /// The kinds of steps.
    const KINDS: [(&'static str, ()); 8] = [
        ("fence", ()),
        ("promote", ()),
        ("delegate", ()),
        ("repoint", ()),
        ("run", ()),
        ("sql", ()),
        ("wait", ()),
        ("verify", ()),
    ];

    /// Its kind, as front matter calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Fence(_) => "fence",
            Self::Promote { .. } => "promote",
            Self::Delegate { .. } => "delegate",
            Self::Repoint { .. } => "repoint",
            Self::Run { .. } => "run",
            Self::Sql { .. } => "sql",
            Self::Wait(_) => "wait",
            Self::Verify { .. } => "verify",
        }
    }
}

/// Judges the steps of a runbook of this class.
pub(super) fn steps(raw: &[Spanned<RawStep>], class: Class) -> Result<Vec<Step>, Problem> {
    let mut steps: Vec<Step> = Vec::new();
    for raw in raw {
        if class == Class::HumanOnly {
            let what = "a runbook of class human-only has no steps: remove them, or use another class";
            return Err(Problem::new(raw, what));
        }
        if steps.len() == MOST {
            return Err(Problem::new(raw, format!("a runbook has at most {MOST} steps: let a hook do more")));
        }
        let step = step(raw)?;
        follows(&step, &steps, class).map_err(|what| Problem::new(raw, what))?;
        steps.push(step);
        if serde_json::to_string(&steps).map_or(usize::MAX, |text| text.len()) > MOST_STEPS_BYTES {
            let what = format!("the steps are longer than {MOST_STEPS_BYTES} bytes together: let a hook do more");
            return Err(Problem::new(raw, what));
        }
    }
    Ok(steps)
}

/// Whether `step` can come after `before`.
fn follows(step: &Step, before: &[Step], class: Class) -> Result<(), String> {
    let kind = step.kind();
    let has = |kind: &str| before.iter().any(|step| step.kind() == kind);
    match step {
        Step::Fence(_) | Step::Promote { .. } | Step::Delegate { .. } | Step::Repoint { .. }
            if class != Class::Failover =>
        {
            Err(format!("{kind} is for class failover: use that class, or remove the step"))
        }
        Step::Fence(_) | Step::Promote { .. } | Step::Repoint { .. } if has("delegate") => {
            Err(format!("{kind} comes after delegate, which the cluster manager does whole: remove one of them"))
        }
        Step::Delegate { .. } if !before.is_empty() => {
            Err("delegate comes first: where the cluster manager refuses, nothing was done then".to_owned())
        }
        Step::Fence(_) if has("promote") => {
            Err("fence comes after promote, when two nodes may write already: put it before".to_owned())
        }
        Step::Promote { .. } if has("promote") => Err("a runbook promotes once: remove the second promote".to_owned()),
        Step::Repoint { .. } if !has("promote") => {
            Err("repoint has no promote before it, and so no new primary: put it after".to_owned())
        }
        Step::Run { name, .. } => {
            let twin = |step: &Step| matches!(step, Step::Run { name: other, .. } if other == name);
            match before.iter().any(twin) {
                true => Err(format!("two steps are called {name}: rename one")),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn step(raw: &Spanned<RawStep>) -> Result<Step, Problem> {
    let RawStep { fence, promote, delegate, repoint, run, sql, wait, verify } = &raw.value;
    let timed = |given: &Option<Spanned<String>>, kind: &str| {
        length(given.as_ref(), &format!("timeout of {kind}"), seconds(60), seconds(600))
    };
    let patience =
        |given: &Option<Spanned<String>>| length(given.as_ref(), "timeout of delegate", seconds(300), seconds(3600));
    let mut written = [
        fence.as_ref().map(|raw| fence_hook(raw).map(Step::Fence)),
        promote.as_ref().map(|raw| Ok(Step::Promote { timeout: timed(&raw.value.timeout, "promote")? })),
        delegate.as_ref().map(|raw| Ok(Step::Delegate { timeout: patience(&raw.value.timeout)? })),
        repoint.as_ref().map(|raw| Ok(Step::Repoint { timeout: timed(&raw.value.timeout, "repoint")? })),
        run.as_ref().map(run_hook),
        sql.as_ref().map(statement),
        wait.as_ref().map(pause),
        verify.as_ref().map(check),
    ]
    .into_iter()
    .flatten();
    match (written.next(), written.next()) {
        (Some(step), None) => step,
        (None, _) => {
            let kinds = either(&Step::KINDS);
            Err(Problem::new(raw, format!("this step does nothing: write {kinds}, with {{}} if it needs no keys")))
        }
        _ => Err(Problem::new(raw, "this step does two things: write a step, with its own dash, for each")),
    }
}

fn fence_hook(raw: &Spanned<RawFence>) -> Result<Hook, Problem> {
    let RawFence { argv, probe, undo, timeout, idempotent } = &raw.value;
    let Some(argv) = argv else { return Err(Problem::new(raw, "fence has no argv: name the program to run")) };
    Ok(Hook {
        argv: program(argv, "argv of fence")?,
        probe: probe.as_ref().map(|probe| program(probe, "probe of fence")).transpose()?,
        undo: undo.as_ref().map(|undo| program(undo, "undo of fence")).transpose()?,
        timeout: length(timeout.as_ref(), "timeout of fence", seconds(30), seconds(600))?,
        idempotent: idempotent.unwrap_or(true),
    })
}

fn run_hook(raw: &Spanned<RawRun>) -> Result<Step, Problem> {
    let RawRun { name, argv, probe, timeout, idempotent } = &raw.value;
    let Some(name) = name else { return Err(Problem::new(raw, "run has no name: say what it is called in reports")) };
    if !is_name(&name.value) {
        let what = "this name cannot stand in reports: 1 to 100 of A-Z, a-z, 0-9, dash and underscore, beginning with a letter";
        return Err(Problem::new(name, what));
    }
    let name = name.value.clone();
    let Some(argv) = argv else {
        return Err(Problem::new(raw, format!("run {name} has no argv: name the program to run")));
    };
    let hook = Hook {
        argv: program(argv, &format!("argv of run {name}"))?,
        probe: probe.as_ref().map(|probe| program(probe, &format!("probe of run {name}"))).transpose()?,
        undo: None,
        timeout: length(timeout.as_ref(), &format!("timeout of run {name}"), seconds(30), seconds(24 * 3600))?,
        idempotent: idempotent.unwrap_or(false),
    };
    Ok(Step::Run { name, hook })
}

fn statement(raw: &Spanned<RawSql>) -> Result<Step, Problem> {
    let RawSql { on, statement, timeout, idempotent } = &raw.value;
    let Some(on) = on else {
        return Err(Problem::new(raw, format!("sql does not say where: set on to {}", either(&Target::ALL))));
    };
    let Some(statement) = statement.as_ref().filter(|statement| !statement.value.trim().is_empty()) else {
        return Err(Problem::new(raw, "sql has no statement: write one"));
    };
    if statement.value.len() > LONGEST || statement.value.contains('\0') {
        let what = format!("statement of sql is longer than {} KiB, or no text: let a hook do it", LONGEST >> 10);
        return Err(Problem::new(statement, what));
    }
    Ok(Step::Sql {
        on: word(on, "on of sql", &Target::ALL)?,
        statement: statement.value.clone(),
        timeout: length(timeout.as_ref(), "timeout of sql", seconds(30), seconds(600))?,
        idempotent: idempotent.unwrap_or(false),
    })
}

fn pause(raw: &Spanned<RawWait>) -> Result<Step, Problem> {
    match &raw.value.pause {
        Some(given) => Ok(Step::Wait(length(Some(given), "for of wait", seconds(1), seconds(3600))?)),
        None => Err(Problem::new(raw, "wait does not say how long: set for, such as 10s")),
    }
}

fn check(raw: &Spanned<RawVerify>) -> Result<Step, Problem> {
    let RawVerify { one_writable, standbys_streaming_within } = &raw.value;
    let one_writable = one_writable.unwrap_or(false);
    let within = |given| length(Some(given), "standbys_streaming_within of verify", seconds(1), seconds(3600));
    let standbys_streaming_within = standbys_streaming_within.as_ref().map(within).transpose()?;
    if !one_writable && standbys_streaming_within.is_none() {
        let what = "verify looks at nothing: set one_writable to true, standbys_streaming_within, or both";
        return Err(Problem::new(raw, what));
    }
    Ok(Step::Verify { one_writable, standbys_streaming_within })
}

/// From a second to `most`.
fn length(given: Option<&Spanned<String>>, what: &str, default: Duration, most: Duration) -> Result<Duration, Problem> {
    let Some(given) = given else { return Ok(default) };
    duration::within(&given.value, seconds(1), most).map_err(|why| Problem::new(given, format!("{what} {why}")))
}

/// A program by its whole path, with its arguments.
fn program(given: &Spanned<Vec<Spanned<String>>>, what: &str) -> Result<Vec<String>, Problem> {
    let Some(first) = given.value.first() else {
        return Err(Problem::new(given, format!("{what} is empty: name the program to run")));
    };
    if !first.value.starts_with('/') {
        return Err(Problem::new(
            first,
            format!("{what} must begin with the whole path of a program: no shell looks for it"),
        ));
    }
    if given.value.len() > MOST_ARGUMENTS {
        return Err(Problem::new(given, format!("{what} has more than {MOST_ARGUMENTS} arguments: use a script")));
    }
    for argument in &given.value {
        if argument.value.len() > LONGEST || argument.value.contains('\0') {
            let what =
                format!("{what} has an argument longer than {} KiB, or that is no text: use a file", LONGEST >> 10);
            return Err(Problem::new(argument, what));
        }
    }
    Ok(given.value.iter().map(|argument| argument.value.clone()).collect())
}
