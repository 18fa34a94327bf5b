//! What the doctor says of one cluster, as JSON and as text for a person.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::answers::{self, Question};
use super::finding::{Answer, Finding, Severity};
use super::patient::Patient;
use super::{Judgement, judge};

/// What the doctor says of one cluster.
#[derive(Debug)]
pub struct Report {
    /// Its name.
    pub cluster: String,
    /// The five answers.
    pub answers: [Question; 5],
    /// Every check.
    pub judgements: Vec<Judgement>,
}

#[derive(Serialize)]
struct Line<'a> {
    check: &'a str,
    severity: Severity,
    title: &'a str,
    why: &'a str,
    page: String,
    #[serde(flatten)]
    finding: &'a Finding,
}

impl Report {
    /// Looks at everything. `node`: findings about another node are left out.
    pub fn of(patient: &Patient<'_>, node: Option<&str>) -> Self {
        let mut judgements = judge(patient);
        if let Some(node) = node {
            for judgement in &mut judgements {
                judgement.findings.retain(|finding| finding.node.as_deref().is_none_or(|other| other == node));
            }
        }
        Self { cluster: patient.evidence.layout.name.clone(), answers: answers::all(patient), judgements }
    }

    /// Whether an error or a warning was found; with `strict` also whether anything is unknown.
    pub fn is_ill(&self, strict: bool) -> bool {
        self.findings(Answer::Failed).any(|(judgement, _)| judgement.check.severity != Severity::Note)
            || strict && self.findings(Answer::Unknown).next().is_some()
    }

    /// The findings with this answer, worst first.
    pub fn findings(&self, answer: Answer) -> impl Iterator<Item = (&Judgement, &Finding)> {
        let all = self.judgements.iter().flat_map(|judgement| judgement.findings.iter().map(move |it| (judgement, it)));
        all.filter(move |(_, finding)| finding.answer == answer)
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let lines: Vec<_> = self
            .judgements
            .iter()
            .flat_map(|judgement| judgement.findings.iter().map(move |finding| line(judgement, finding)))
            .collect();
        json!({ "cluster": self.cluster, "answers": self.answers, "checks": lines })
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut text = format!("cluster {}\n", self.cluster);
        for Question { question, answer, because } in &self.answers {
            line_of(&mut text, format_args!("  {question}: {} ({because})", answer.as_str()));
        }
        let mut counts = [0; 3];
        for (judgement, finding) in self.findings(Answer::Failed) {
            let check = judgement.check;
            counts[check.severity as usize] += 1;
            let node = finding.node.as_ref().map_or(String::new(), |node| format!(" on {node}"));
            line_of(&mut text, format_args!("\n{} {}{node}: {}", check.severity.as_str(), check.id, finding.seen));
            line_of(&mut text, format_args!("  why: {}", check.why));
            for cure in &finding.fix {
                let of = if cure.node.is_some() { "" } else { ":" };
                line_of(&mut text, format_args!("  fix{of} {cure}"));
            }
        }
        let unknown: Vec<_> = self.findings(Answer::Unknown).collect();
        if !unknown.is_empty() {
            text += "\nunknown\n";
        }
        for (judgement, finding) in &unknown {
            let node = finding.node.as_ref().map_or(String::new(), |node| format!(" on {node}"));
            line_of(&mut text, format_args!("  {}{node}: {}", judgement.check.id, finding.seen));
        }
        let [errors, warnings, notes] = counts;
        let well = self.findings(Answer::Ok).count();
        let unknown = unknown.len();
        line_of(
            &mut text,
            format_args!("\n{errors} errors, {warnings} warnings, {notes} notes, {unknown} unknown, {well} well"),
        );
        text
    }
}

fn line<'a>(judgement: &'a Judgement, finding: &'a Finding) -> Line<'a> {
    let check = judgement.check;
    let page = format!("docs/checks/{}.md", check.id);
    Line { check: check.id, severity: check.severity, title: check.title, why: check.why, page, finding }
}

/// Writing into a text cannot fail.
fn line_of(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{line}");
}
