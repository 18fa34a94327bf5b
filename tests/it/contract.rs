//! What others build on: the catalogue's page in the documentation, the grants, and that every family really has samples.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use pgvigil::collector::COLLECTORS;
use pgvigil::metric::catalog;
use pgvigil::metric::family::{Kind, Observers, Unit};
use pgvigil::metric::sample::Samples;

use crate::fixture::{self, ROOT};
use crate::{golden, golden_cluster};

#[test]
fn every_family_has_a_sample_in_some_golden_page() {
    let nodes = golden::nodes().map(|(major, role)| golden::samples(major, role));
    let clusters = golden::MAJORS.map(golden_cluster::samples);
    let promotions = golden::MAJORS.map(golden_cluster::after_promotion);
    let names = |samples: Samples| samples.iter().map(|sample| sample.family.name).collect::<BTreeSet<_>>();
    let seen: BTreeSet<_> = nodes.chain(clusters).chain(promotions).flat_map(names).collect();
    for family in catalog::families() {
        assert!(seen.contains(family.name), "{}", family.name);
    }
}

#[test]
fn the_documentation_lists_the_catalogue() {
    let path = Path::new(ROOT).join("docs/metrics.md");
    let page = documentation();
    if fixture::update() {
        fs::write(&path, &page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/metrics.md is out of date: run this test with UPDATE=1");
}

fn documentation() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Generated from the catalogue; a test keeps it true. LSNs are bytes, times are seconds. A value that is not known is absent, \
         never 0.\nFamilies with a label `state` have one series for each state, 1 for the present one.\n\n\
         *Observers*: how a rule makes one value where several pgvigil watch one cluster. `max` and `min` take that of all that have \
         the series; of a counter or a histogram it is the rate or the quantile of each that is taken. A series that stands for not \
         seeing (`state` of `unknown`, `timeout` or `unreachable`, `upstream` of `unknown`, `known` of `no`) goes by `min` where its family goes by `max`: it \
         is true only if nobody sees. `own` is about the observer itself, and its own way to the servers.\n\n\
         | name | type | labels | unit | observers | help |\n|---|---|---|---|---|---|\n",
    );
    for family in catalog::families() {
        let kind = match family.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        let unit = match family.unit {
            Unit::None => "",
            Unit::Seconds => "seconds",
            Unit::Bytes => "bytes",
        };
        let observers = match family.observers {
            Observers::Max => "max",
            Observers::Min => "min",
            Observers::Own => "own",
        };
        let labels = family.labels.join(", ");
        let _ = writeln!(page, "| `{}` | {kind} | {labels} | {unit} | {observers} | {} |", family.name, family.help);
    }
    page
}

#[test]
fn the_grants_name_every_family_that_they_feed() {
    let grants = fs::read_to_string(Path::new(ROOT).join("deploy/grants.sql")).unwrap();
    for collector in COLLECTORS {
        let Some(grant) = collector.grant() else { continue };
        assert!(grants.contains(&format!("GRANT {grant} TO pgvigil;")), "{}", collector.name());
        for family in collector.families() {
            assert!(grants.contains(family.name), "{} needs {grant}", family.name);
        }
    }
}
