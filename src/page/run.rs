//! One run: what it would do or did, what the guards saw, its journal, and what a person can say to it.

use maud::{Markup, html};

use super::Section;
use super::figures::{bytes, time};
use super::runs::{guards, phase};
use crate::runbook::run::{Phase, Run};
use crate::runbook::story::Line;

/// A run, and who looks at it.
#[derive(Clone, Debug)]
pub struct RunView {
    /// The run.
    pub run: Run,
    /// What happened to it, the oldest first.
    pub story: Vec<Line>,
    /// Whether whoever looks may decide.
    pub may_decide: bool,
}

/// A word of a person: its route, what its button says, and whether it ends something.
struct Word {
    verb: &'static str,
    button: &'static str,
    says: &'static str,
    harm: bool,
}

const APPROVE: Word =
    Word { verb: "approve", button: "Approve", says: "Approve this plan: it is carried out", harm: true };
const REJECT: Word = Word { verb: "reject", button: "Reject", says: "Reject it: nothing is done", harm: false };
const ABORT: Word = Word { verb: "abort", button: "Abort", says: "Abort it, before the promotion begins", harm: true };
const ACK: Word = Word { verb: "ack", button: "Acknowledge", says: "Acknowledge what came of it", harm: false };

/// The sections of its page.
pub fn sections(view: &RunView) -> Vec<Section> {
    vec![
        Section::new("run", whole(view)),
        Section::new("decide", decide(view)),
        Section::new("guards", judged(&view.run)),
        Section::new("journal", journal(view)),
    ]
}

fn whole(view: &RunView) -> Markup {
    let run = &view.run;
    let plan = &run.plan;
    html! {
        section.whole id="run" aria-labelledby="run-title" {
            article data-run=(run.id) data-phase=(phase(run)) {
                h2 id="run-title" {
                    a href={ "/runbooks/" (plan.runbook) } { (plan.runbook) } " on " a href={ "/clusters/" (plan.episode.cluster) } { (plan.episode.cluster) }
                    " " span.phase { (phase(run)) }
                }
                @if !run.report.is_empty() { p { (run.report) } }
                table {
                    tbody {
                        (row("primary", &format!("{} of timeline {}", plan.episode.primary, plan.episode.timeline.0)))
                        (row("candidate", plan.candidate.as_deref().unwrap_or("none")))
                        (row("may lose", &plan.loss_bytes.map_or_else(|| "unknown".to_owned(), bytes)))
                        (row("mode", plan.mode.as_str()))
                        (row("began", &run.began.wall.to_string()))
                        @if let Some(by) = &run.approved_by { (row("approved by", by)) }
                        @if let Some(ended) = run.ended { (row("ended", &ended.wall.to_string())) }
                        @if let Some(by) = &run.acknowledged_by { (row("acknowledged by", by)) }
                        (row("old primary fenced", if run.fenced { "✓ yes" } else { "no" }))
                        (row("new primary promoted", if run.promoted { "✓ yes" } else { "no" }))
                    }
                }
                h3 { "Plan " code { (plan.plan) } }
                ol.plan {
                    @for (number, command) in plan.commands().iter().enumerate() {
                        li aria-current=[is_now(run, number).then_some("step")] { (done(run, number)) " " code { (command) } }
                    }
                }
                @for why in &run.left_out { p.bad { "▲ Left out: " (why) } }
            }
        }
    }
}

fn row(name: &str, value: &str) -> Markup {
    html! { tr { th scope="row" { (name) } td { (value) } } }
}

fn is_now(run: &Run, step: usize) -> bool {
    run.step == step && run.outcome().is_none()
}

fn done(run: &Run, step: usize) -> &'static str {
    match (step < run.step, is_now(run, step) && run.acted) {
        (true, _) => "✓ done:",
        (false, true) => "▶ now:",
        (false, false) => "to do:",
    }
}

/// What can be said where the run stands.
fn words(run: &Run) -> Vec<Word> {
    let mut words = Vec::new();
    if run.phase == Phase::Awaiting {
        words.extend([APPROVE, REJECT]);
    }
    if run.outcome().is_none() && !run.past_return && run.abort.is_none() {
        words.push(ABORT);
    }
    if run.is_unacknowledged() {
        words.push(ACK);
    }
    words
}

fn decide(view: &RunView) -> Markup {
    let run = &view.run;
    let words = words(run);
    html! {
        section id="decide" aria-labelledby="decide-title" {
            h2 id="decide-title" { "Your decision" }
            @if run.phase == Phase::Awaiting && let Some(until) = run.until {
                p { "Somebody is asked until " (time(until.wall)) "." }
            }
            @if words.is_empty() { p { "Nothing is asked of you." } }
            @if !words.is_empty() && !view.may_decide {
                p { "This needs a credential whose role is approver or admin, which your browser did not show. In a terminal:" }
            }
            @for word in &words {
                @if view.may_decide { (form(run, word)) } @else { p { code { (command(run, word)) } } }
            }
        }
    }
}

fn form(run: &Run, word: &Word) -> Markup {
    let field = format!("comment-{}", word.verb);
    html! {
        form method="post" action={ "/runs/" (run.id) "/" (word.verb) } {
            @if word.verb == APPROVE.verb { input type="hidden" name="plan" value=(run.plan.plan); }
            input id=(field) type="text" name="comment" maxlength="500" autocomplete="off" placeholder="Why, for the journal"
                aria-label={ "Comment to: " (word.button) };
            button.harm[word.harm] type="submit" { (word.says) }
        }
    }
}

fn command(run: &Run, word: &Word) -> String {
    let plan = if word.verb == APPROVE.verb { format!(" --plan {}", run.plan.plan) } else { String::new() };
    format!("pgvigil runbook {} {}{plan} --token-file FILE", word.verb, run.id)
}

fn judged(run: &Run) -> Markup {
    html! {
        section id="guards" aria-labelledby="guards-title" {
            h2 id="guards-title" { "Guards" }
            (guards(&run.judged.1))
        }
    }
}

fn journal(view: &RunView) -> Markup {
    html! {
        section.whole id="journal" aria-labelledby="journal-title" {
            h2 id="journal-title" { "Journal" }
            @if view.story.is_empty() {
                p { "It is too old to be shown here: " code { "pgvigil runbook history" } " has it." }
            } @else {
                div.wide tabindex="0" role="region" aria-label="Table: Journal" {
                    table {
                        thead { tr { th { "time" } th { "what" } th { "in words" } } }
                        tbody { @for line in &view.story { tr { td.figure { (time(line.at)) } td { (line.kind) } td { (line.words) } } } }
                    }
                }
            }
        }
    }
}
