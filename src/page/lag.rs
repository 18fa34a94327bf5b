//! The lag of the last minutes: a heatmap of all standbys, and a plot of those that were worst. What was not known is hatched.

use std::fmt::Write;

use maud::{Markup, html};

use super::figures::seconds;
use super::nodes::behind;
use super::view::{Node, Past, SLOTS, View};

/// So many standbys are plotted, the worst.
const MOST_PLOTS: usize = 6;
/// Width of a slot in the plots and the heatmap.
const STEP: usize = 5;
/// Where the slots of the heatmap begin: names stand before them.
const NAMES: usize = 100;
/// From one row of the heatmap to the next.
const ROW: usize = 18;
/// Height of a plot.
const HEIGHT: usize = 64;
/// Up to which lag, in seconds, a cell is of each level; one level more is beyond.
const LEVELS: [f64; 5] = [1.0, 5.0, 30.0, 120.0, 600.0];

/// The section.
pub fn section(view: &View) -> Markup {
    let measured = |node: &&Node| !node.writes() && node.trend.iter().any(|past| *past != Past::Nothing);
    let standbys: Vec<_> = view.nodes.iter().filter(measured).collect();
    let mut worst = standbys.clone();
    worst.sort_by(|one, other| peak(other).total_cmp(&peak(one)));
    worst.truncate(MOST_PLOTS);
    html! {
        section id="lag" aria-labelledby="lag-title" {
            h2 id="lag-title" { "Lag of the last ten minutes" }
            @if standbys.is_empty() {
                p { "No standby was measured yet." }
            } @else {
                (heatmap(&standbys))
                p.note {
                    "Replayed: taller and darker is further behind (1 s, 5 s, 30 s, 2 min, 10 min); hatched was not known."
                }
                div.plots { @for node in &worst { (plot(node)) } }
                details id="lag-table" {
                    summary { "The same as a table" }
                    div.wide tabindex="0" role="region" aria-label="Table: Lag" { (table(&standbys)) }
                }
            }
        }
    }
}

/// The worst lag in replay; one that was never known comes last.
fn peak(node: &Node) -> f64 {
    node.trend.iter().filter_map(replayed).fold(-1.0, f64::max)
}

fn replayed(past: &Past) -> Option<f64> {
    match past {
        Past::Known(_, replayed) => *replayed,
        Past::Nothing | Past::Unknown => None,
    }
}

fn received(past: &Past) -> Option<f64> {
    match past {
        Past::Known(received, _) => *received,
        Past::Nothing | Past::Unknown => None,
    }
}

fn level(late: f64) -> usize {
    LEVELS.iter().filter(|limit| late >= **limit).count()
}

fn heatmap(standbys: &[&Node]) -> Markup {
    let (width, height) = (NAMES + SLOTS * STEP, standbys.len() * ROW);
    html! {
        svg.heat viewBox={ "0 0 " (width) " " (height) } role="img" aria-labelledby="heat-name heat-words" {
            title id="heat-name" { "Replay lag of each standby over the last ten minutes" }
            desc id="heat-words" { @for node in standbys { (node.name()) ": " (words(node)) ". " } }
            @for (row, node) in standbys.iter().enumerate() {
                text x="0" y=(row * ROW + 13) { (node.name().chars().take(12).collect::<String>()) }
            }
            @for (number, path) in cells(standbys).iter().enumerate().filter(|(_, path)| !path.is_empty()) {
                @if number > LEVELS.len() { path fill="url(#hatch)" d=(path) {} }
                @else { path class={ "l" (number) } d=(path) {} }
            }
        }
    }
}

/// A path for each level, and at the end one for what was not known; neighbours that are alike are one piece.
fn cells(standbys: &[&Node]) -> [String; LEVELS.len() + 2] {
    let mut paths: [String; LEVELS.len() + 2] = Default::default();
    let unknown = LEVELS.len() + 1;
    for (row, node) in standbys.iter().enumerate() {
        let kind = |past: &Past| match past {
            Past::Nothing => None,
            past => Some(replayed(past).map_or(unknown, level)),
        };
        for (first, length, kind) in stretches(&node.trend, kind) {
            let tall = if kind == unknown { 16 } else { 4 + kind * 2 };
            let (x, y, wide) = (NAMES + first * STEP, row * ROW + 16, length * STEP);
            // Writing into a string cannot fail.
            let _ = write!(paths[kind], "M{x} {y}h{wide}v-{tall}h-{wide}z");
        }
    }
    paths
}

/// Neighbours of one kind: where they begin, how many they are, and the kind.
fn stretches(trend: &[Past], kind: impl Fn(&Past) -> Option<usize>) -> Vec<(usize, usize, usize)> {
    let mut found: Vec<(usize, usize, usize)> = Vec::new();
    for (slot, past) in trend.iter().enumerate() {
        let Some(kind) = kind(past) else { continue };
        match found.last_mut() {
            Some((first, length, before)) if *before == kind && *first + *length == slot => *length += 1,
            _ => found.push((slot, 1, kind)),
        }
    }
    found
}

fn plot(node: &Node) -> Markup {
    let top = node.trend.iter().flat_map(|past| [replayed(past), received(past)]).flatten().fold(1.0, f64::max);
    let width = SLOTS * STEP;
    let unknown = stretches(&node.trend, |past| (*past != Past::Nothing && replayed(past).is_none()).then_some(0));
    html! {
        figure {
            figcaption { b { (node.name()) } " " (words(node)) }
            svg.plot viewBox={ "0 0 " (width + 60) " " (HEIGHT + 6) } aria-hidden="true" {
                @for (first, length, _) in unknown {
                    rect fill="url(#hatch)" x=(first * STEP) y="3" width=(length * STEP) height=(HEIGHT) {}
                }
                path.axis d={ "M0 " (HEIGHT + 3) "H" (width) "M0 3H" (width) } {}
                path.received d=(line(&node.trend, top, received)) {}
                path.replayed d=(line(&node.trend, top, replayed)) {}
                text x=(width + 4) y="12" { (seconds(top)) }
                text x=(width + 4) y=(HEIGHT + 3) { "0 s" }
            }
        }
    }
}

/// A line that is interrupted where nothing is known.
fn line(trend: &[Past], top: f64, stage: fn(&Past) -> Option<f64>) -> String {
    let (mut path, mut drawing) = (String::new(), false);
    for (slot, past) in trend.iter().enumerate() {
        let Some(late) = stage(past) else {
            drawing = false;
            continue;
        };
        let y = 3.0 + HEIGHT as f64 * (1.0 - late / top);
        let x = slot * STEP;
        let _ = match drawing {
            true => write!(path, "L{x} {y:.0}"),
            false => write!(path, "M{x} {y:.0}"),
        };
        let _ = write!(path, "h{STEP}");
        drawing = true;
    }
    path
}

/// Now, the worst, and how much was not known.
fn words(node: &Node) -> String {
    let now = match &node.verdicts.lag {
        _ if node.writes() => "is the primary now".to_owned(),
        Some(lag) => behind(&lag.replayed),
        None => "not known now".to_owned(),
    };
    let worst = peak(node);
    if worst < 0.0 {
        return format!("{now}, never known in this time");
    }
    let worst = format!("at worst {}", seconds(worst));
    match gaps(node) {
        0 => format!("{now}, {worst}"),
        gaps => format!("{now}, {worst}, not known for {gaps} % of the time"),
    }
}

/// In which part of the time the lag in replay was not known, in percent.
fn gaps(node: &Node) -> usize {
    let looked = node.trend.iter().filter(|past| **past != Past::Nothing);
    let (unknown, all) =
        looked.fold((0, 0), |(unknown, all), past| (unknown + usize::from(replayed(past).is_none()), all + 1));
    (unknown * 100usize).div_ceil(all.max(1))
}

fn table(standbys: &[&Node]) -> Markup {
    let worst = |node: &Node, stage: fn(&Past) -> Option<f64>| {
        let worst = node.trend.iter().filter_map(stage).fold(-1.0, f64::max);
        if worst < 0.0 { "unknown".to_owned() } else { seconds(worst) }
    };
    html! {
        table {
            thead { tr { th { "standby" } th { "received, at worst" } th { "replayed, at worst" } th { "not known" } } }
            tbody {
                @for node in standbys {
                    tr {
                        th scope="row" { (node.name()) }
                        td.figure { (worst(node, received)) }
                        td.figure { (worst(node, replayed)) }
                        td.figure { (gaps(node)) " %" }
                    }
                }
            }
        }
    }
}
