//! Would a failover work now, to whom, at what loss; what stands in the way of each standby; and the guards of the open run.

use maud::{Markup, html};

use super::figures::{bytes, seconds};
use super::runs::guards;
use super::view::View;
use crate::cluster::assess::Verdict;
use crate::cluster::promotable::Reason;
use crate::runbook::guard::{self, Seen};
use crate::runbook::run::Run;

/// Whether a failover would work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is a standby that nothing stands in the way of.
    Yes,
    /// Something stands in the way of every one.
    No,
    /// It cannot be said.
    Unknown,
}

/// Whether a failover would work now.
pub fn answer(view: &View) -> Answer {
    let promotable = |verdict| {
        view.nodes.iter().filter_map(|node| node.verdicts.promotable.as_ref()).any(|it| it.verdict == verdict)
    };
    match &view.candidate {
        _ if view.split_brain == Verdict::Yes => Answer::No,
        // What new connections show counts for more than observation.
        Some(_) if held_up(view).is_some() => Answer::Unknown,
        Some(_) => Answer::Yes,
        None if view.primary.is_none() || promotable(Verdict::Unknown) || promotable(Verdict::Yes) => Answer::Unknown,
        None => Answer::No,
    }
}

/// The open run, if its guards do not all pass.
fn held_up(view: &View) -> Option<&Run> {
    view.runs.open().filter(|run| passing(&run.judged.1) < run.judged.1.len())
}

/// The answer in one sentence.
pub fn sentence(view: &View) -> String {
    match (answer(view), &view.candidate) {
        (Answer::Yes, Some(candidate)) => match view.loss {
            Some(loss) => {
                format!("A failover now would work: to {candidate}, losing {} as seen", bytes(loss.seen_bytes))
            }
            None => format!("A failover now would work: to {candidate}, at a loss that is not known"),
        },
        (Answer::Unknown, Some(candidate)) => {
            format!("By observation it would, to {candidate}; guards of the run that is open do not pass")
        }
        (Answer::No, _) if view.split_brain == Verdict::Yes => {
            "A failover now would not work: two nodes write".to_owned()
        }
        (Answer::No, _) => "A failover now would not work: no standby could take over".to_owned(),
        _ => "Whether a failover would work now is not known".to_owned(),
    }
}

/// The section.
pub fn section(view: &View) -> Markup {
    html! {
        section id="verdict" aria-labelledby="verdict-title" data-answer=(words(answer(view))) {
            h2 id="verdict-title" { "Would a failover work now?" }
            p.answer { strong { (title(answer(view))) } " " (sentence(view)) "." }
            @if let Some(loss) = view.loss {
                table {
                    thead { tr { th { "loss" } th { "WAL" } th { "time" } } }
                    tbody {
                        (bound("as seen", loss.seen_bytes, loss.seen_seconds))
                        (bound("as estimated", loss.estimated_bytes, loss.estimated_seconds))
                    }
                }
            }
            (blocks(view))
            @if let Some(run) = view.runs.open() {
                h3 { "Guards of run " a href={ "/runs/" (run.id) } { (run.id) } }
                details id="verdict-guards" open[passing(&run.judged.1) < run.judged.1.len()] {
                    summary { (passing(&run.judged.1)) " of " (run.judged.1.len()) " pass" }
                    (guards(&run.judged.1))
                }
            }
            p.note { "By what is observed now. A run looks again with new connections, and its guards decide." }
        }
    }
}

fn passing(seen: &[Seen]) -> usize {
    seen.iter().filter(|seen| seen.answer == guard::Answer::Pass).count()
}

const fn title(answer: Answer) -> &'static str {
    match answer {
        Answer::Yes => "✓ Yes.",
        Answer::No => "✕ No.",
        Answer::Unknown => "? Not known.",
    }
}

const fn words(answer: Answer) -> &'static str {
    match answer {
        Answer::Yes => "yes",
        Answer::No => "no",
        Answer::Unknown => "unknown",
    }
}

fn bound(name: &str, amount: u64, time: Option<f64>) -> Markup {
    html! {
        tr {
            th scope="row" { (name) }
            td.figure { (bytes(amount)) }
            td.figure { (time.map_or_else(|| "unknown".to_owned(), seconds)) }
        }
    }
}

/// What stands in the way, a row a reason, with all whom it stops.
fn blocks(view: &View) -> Markup {
    let judged = || view.nodes.iter().filter_map(|node| Some((node.name(), node.verdicts.promotable.as_ref()?)));
    let free: Vec<_> =
        judged().filter(|(_, promotable)| promotable.verdict == Verdict::Yes).map(|(name, _)| name).collect();
    let stopped = |reason: Reason| {
        let names = judged().filter(|(_, promotable)| promotable.reasons.contains(&reason)).map(|(name, _)| name);
        names.collect::<Vec<_>>()
    };
    let stopping: Vec<_> =
        Reason::all().map(|reason| (reason, stopped(reason))).filter(|(_, names)| !names.is_empty()).collect();
    html! {
        @if !free.is_empty() { p { "Nothing stands in the way of " b { (free.join(", ")) } "." } }
        @if !stopping.is_empty() {
            div.wide tabindex="0" role="region" aria-label="What stands in the way" {
                table {
                    thead { tr { th { "standby" } th { "what stands in the way" } th { "so" } } }
                    tbody {
                        @for (reason, names) in stopping {
                            tr {
                                th scope="row" { (names.join(", ")) }
                                td { (reason.meaning()) " " code { (reason.as_str()) } }
                                td { @if reason.verdict() == Verdict::No { "✕ no" } @else { "? unknown" } }
                            }
                        }
                    }
                }
            }
        }
    }
}
