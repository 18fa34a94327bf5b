//! The runs of a cluster: the open one and those that are over.

use maud::{Markup, html};

use super::figures::bytes;
use super::view::View;
use crate::runbook::guard::{Answer, Seen};
use crate::runbook::run::{Phase, Run};

/// The section.
pub fn section(view: &View) -> Markup {
    html! {
        section id="runs" aria-labelledby="runs-title" {
            h2 id="runs-title" { "Runs" }
            @if view.runs.runs.is_empty() {
                p { "No runbook ran here yet. " a href="/runbooks/" { "All runbooks" } }
            }
            @for run in &view.runs.runs { (card(run)) }
        }
    }
}

fn card(run: &Run) -> Markup {
    html! {
        article data-run=(run.id) data-phase=(phase(run)) {
            h3 { a href={ "/runs/" (run.id) } { (run.plan.runbook) } " " span.phase { (phase(run)) } }
            p { (line(run)) }
            @if run.phase == Phase::Awaiting {
                p.call { a href={ "/runs/" (run.id) } { "Look at the plan, and approve or reject it" } }
            } @else if run.is_unacknowledged() {
                p.call { a href={ "/runs/" (run.id) } { "Look at what came of it, and take note" } }
            }
        }
    }
}

/// Where it stands, in one word.
pub fn phase(run: &Run) -> &'static str {
    run.phase.as_str()
}

/// What it is about, and what came of it.
pub fn line(run: &Run) -> String {
    let candidate = run.plan.candidate.as_ref().map(|name| format!(" to {name}")).unwrap_or_default();
    let loss = run.plan.loss_bytes.map(|amount| format!(", may lose {}", bytes(amount))).unwrap_or_default();
    let step = match run.current() {
        Some(_) if run.outcome().is_none() => {
            format!(". {} of {} steps done, now {}", run.step, run.plan.steps.len(), run.plan.name_of(run.step))
        }
        _ => String::new(),
    };
    let report = if run.report.is_empty() { String::new() } else { format!(". {}", run.report) };
    format!(
        "{} {}: from {}{candidate}{loss}{step}{report}",
        run.began.wall,
        run.plan.mode.as_str(),
        run.plan.episode.primary
    )
}

/// What every guard saw.
pub fn guards(seen: &[Seen]) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label="Table: Guards" {
            table.guards {
                thead { tr { th { "guard" } th { "says" } th { "what it saw" } } }
                tbody {
                    @for seen in seen {
                        tr data-guard=(seen.guard) data-answer=(answer(seen.answer)) {
                            th scope="row" { (seen.guard) }
                            td class=[(seen.answer != Answer::Pass).then_some("bad")] { (said(seen.answer)) }
                            td { (seen.value) }
                        }
                    }
                }
            }
        }
    }
}

const fn answer(answer: Answer) -> &'static str {
    match answer {
        Answer::Pass => "pass",
        Answer::Block => "block",
        Answer::Unknown => "unknown",
    }
}

const fn said(answer: Answer) -> &'static str {
    match answer {
        Answer::Pass => "✓ pass",
        Answer::Block => "✕ block",
        Answer::Unknown => "? unknown, blocks",
    }
}
