//! The doctor: named mistakes, each seen or not, and what a failover would find. Pure: what is known goes in, findings come out.
//! `pgvigil doctor` asks every node once; `serve` judges what its loops read.

pub mod answers;
pub mod backup;
pub mod chart;
pub mod check;
pub mod clients;
pub mod cures;
pub mod finding;
pub mod hba;
pub mod login;
pub mod page;
pub mod patient;
pub mod report;

use check::{CHECKS, Check};
use finding::{Answer, Finding};
use patient::Patient;

use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;

/// A check with what it says.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The check.
    pub check: &'static Check,
    /// Of each node that it concerns; none: of nobody.
    pub findings: Vec<Finding>,
}

impl Judgement {
    /// The worst of its findings; `None` if it concerns nobody.
    pub fn answer(&self) -> Option<Answer> {
        self.findings.iter().map(|finding| finding.answer).min()
    }
}

/// Judges every check: none is left out because another one fails. Errors come first.
pub fn judge(patient: &Patient<'_>) -> Vec<Judgement> {
    let judgement = |check: &&'static Check| Judgement { check, findings: (check.judge)(patient) };
    let mut all: Vec<_> = CHECKS.iter().map(judgement).collect();
    all.sort_by_key(|judgement| judgement.check.severity);
    all
}

static CHECK_FAILED: Family = Family {
    name: "pgvigil_check_failed",
    help: "1 if the check of the doctor fails on any node of the cluster, 0 if it is well on all that it concerns; absent while unknown.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "check", "severity"],
    // Who is cut off finds much that is well.
    observers: Observers::Min,
};

/// The families that [`samples`] may add.
pub static FAMILIES: &[&Family] = &[&CHECK_FAILED];

/// Adds what each check says of the cluster.
pub fn samples(patient: &Patient<'_>, samples: &mut Samples) {
    let cluster = patient.evidence.layout.name.as_str();
    for judgement in judge(patient) {
        let labels = [cluster, judgement.check.id, judgement.check.severity.as_str()];
        match judgement.answer() {
            Some(Answer::Failed) => samples.flag(&CHECK_FAILED, &labels, true),
            Some(Answer::Ok) => samples.flag(&CHECK_FAILED, &labels, false),
            Some(Answer::Unknown) | None => {}
        }
    }
}

#[cfg(test)]
mod tests;
