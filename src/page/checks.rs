//! What the doctor's checks say: what fails first, with what mends it; what is not known apart; little when all is well.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::figures::count;
use super::view::View;
use crate::doctor::Judgement;
use crate::doctor::finding::{Answer, Finding, Severity};

/// So many nodes are told of one check; the doctor tells all.
const MOST_NODES: usize = 8;

/// The section.
pub fn section(view: &View) -> Markup {
    let with = |wanted: Answer| {
        let all = view.checks.iter().map(move |judgement| (judgement, findings(judgement, wanted)));
        all.filter(|(_, findings)| !findings.is_empty()).collect::<Vec<_>>()
    };
    let (failed, unknown) = (with(Answer::Failed), with(Answer::Unknown));
    let well = view.checks.iter().filter(|judgement| judgement.answer() == Some(Answer::Ok)).count();
    html! {
        section id="checks" aria-labelledby="checks-title" data-failed=(failed.len()) data-unknown=(unknown.len()) {
            h2 id="checks-title" { "Checks" }
            p { (summary(failed.len(), unknown.len(), well)) " " a href="/checks/" { "All checks" } }
            @for (judgement, findings) in &failed { (ill(judgement, findings)) }
            @if !unknown.is_empty() {
                details id="checks-unknown" {
                    summary { "? " (count(unknown.len(), "check")) " not known" }
                    ul { @for (why, checks) in by_reason(&unknown) { (unclear(why, &checks)) } }
                }
            }
        }
    }
}

fn findings(judgement: &Judgement, answer: Answer) -> Vec<&Finding> {
    judgement.findings.iter().filter(|finding| finding.answer == answer).collect()
}

fn summary(failed: usize, unknown: usize, well: usize) -> String {
    match (failed, unknown) {
        (0, 0) if well == 0 => "? Nothing was checked yet.".to_owned(),
        (0, 0) => format!("✓ All is well: {}.", count(well, "check")),
        (0, _) => format!("✓ Nothing fails: {} well, {unknown} not known.", count(well, "check")),
        (failed, _) => format!("{} failed, {unknown} not known, {well} well.", count(failed, "check")),
    }
}

const fn sign(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "✕ error",
        Severity::Warning => "▲ warning",
        Severity::Note => "· note",
    }
}

/// A check that fails: what was seen where, why it matters, and what mends it.
fn ill(judgement: &Judgement, findings: &[&Finding]) -> Markup {
    let check = judgement.check;
    let bad = (check.severity == Severity::Error).then_some("bad");
    html! {
        article data-check=(check.id) data-severity=(check.severity.as_str()) {
            h3 { span class=[bad] { (sign(check.severity)) } " " a href={ "/checks/" (check.id) } { (check.id) } }
            @for finding in findings.iter().take(MOST_NODES) {
                p { @if let Some(node) = &finding.node { b { (node) } ": " } (finding.seen) }
            }
            (others(findings.len()))
            details id={ "check-" (check.id) } {
                summary { "Why, and what mends it" }
                p { (check.why) }
                ul { @for cure in findings.iter().take(MOST_NODES).flat_map(|finding| &finding.fix) { li { code { (cure) } } } }
            }
        }
    }
}

/// The checks by why they are not known, by the first node of each: most often all lack the same.
fn by_reason<'a>(unknown: &[(&'a Judgement, Vec<&'a Finding>)]) -> BTreeMap<&'a str, Vec<(&'static str, usize)>> {
    let mut reasons: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (judgement, findings) in unknown {
        let why = findings.first().map_or("", |finding| finding.seen.as_str());
        reasons.entry(why).or_default().push((judgement.check.id, findings.len()));
    }
    reasons
}

fn unclear(why: &str, checks: &[(&'static str, usize)]) -> Markup {
    html! {
        li {
            span.why { (why) }
            @for (number, (id, nodes)) in checks.iter().enumerate() {
                @if number > 0 { ", " }
                a href={ "/checks/" (id) } { (id) }
                @if *nodes > 1 { " (" (count(*nodes, "node")) ")" }
            }
        }
    }
}

fn others(number: usize) -> Markup {
    let left = number.saturating_sub(MOST_NODES);
    html! { @if left > 0 { p.note { "and " (left) " more: pgvigil doctor names all" } } }
}
