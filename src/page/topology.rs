//! Who feeds whom: a drawing, and the same as a table.

use maud::{Markup, html};

use super::figures::bytes;
use super::nodes;
use super::tree::{Place, places};
use super::view::{Node, View};
use crate::cluster::assess::Verdict;
use crate::cluster::lag::StageLag;
use crate::cluster::upstream::Upstream;

/// Width of the drawing, in its own units: it shrinks on a phone.
const WIDTH: usize = 420;
/// From one row to the next.
const ROW: usize = 60;
/// Height of a node.
const BOX: usize = 50;
/// How far one level stands to the right of the one that feeds it.
const INDENT: usize = 30;
/// Deeper levels stand where this one does.
const DEEPEST: usize = 4;
/// Longer names are cut in the drawing; the table has them whole.
const LONGEST: usize = 24;
/// Width of a letter of the state, more or less.
const LETTER: usize = 7;

/// The section.
pub fn section(view: &View) -> Markup {
    let places = places(view);
    html! {
        section id="topology" aria-labelledby="topology-title" {
            h2 id="topology-title" { "Who feeds whom" }
            (drawing(view, &places))
            @if !view.strangers.is_empty() {
                p { "Connected, and in no config: " (view.strangers.join(", ")) "." }
            }
            details id="topology-table" open[is_short(view)] {
                summary { "The same as a table" }
                div.wide tabindex="0" role="region" aria-label="Table: Nodes" { (table(view, &places)) }
            }
        }
    }
}

/// Whether the table is short enough to be shown at once.
fn is_short(view: &View) -> bool {
    view.nodes.len() <= 12
}

fn drawing(view: &View, places: &[Place]) -> Markup {
    let height = places.len() * ROW;
    let split = view.split_brain == Verdict::Yes;
    html! {
        svg.topology viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-labelledby="topology-name topology-words" {
            title id="topology-name" { "Nodes of cluster " (view.cluster) " and who feeds whom" }
            desc id="topology-words" {
                @for node in &view.nodes { (node.name()) ": " (nodes::role(node, view)) ", " (nodes::state(node)) ". " }
            }
            @for (row, place) in places.iter().enumerate() {
                @if let Some(above) = place.above { (arrow(row, place, above, &places[above], &view.nodes[place.node])) }
            }
            @for (row, place) in places.iter().enumerate() {
                (drawn(row, place, view, split))
            }
        }
    }
}

fn left(place: &Place) -> usize {
    2 + place.depth.min(DEEPEST) * INDENT
}

/// From the node above down and to the left side of this one.
fn arrow(row: usize, place: &Place, above: usize, feeder: &Place, node: &Node) -> Markup {
    let from = left(feeder) + 14;
    let (top, end) = (above * ROW + BOX, row * ROW + BOX / 2);
    let flows = node.connection.is_some_and(|(_, connected)| connected);
    html! {
        path class={ "feeds" @if !flows { " cut" } } d={ "M" (from) " " (top) "V" (end) "H" (left(place).max(from + 8) - 7) } {}
        path.head d={ "M" (left(place).max(from + 8) - 9) " " (end - 5) "l8 5l-8 5z" } {}
    }
}

fn drawn(row: usize, place: &Place, view: &View, split: bool) -> Markup {
    let node = &view.nodes[place.node];
    let (x, y) = (left(place), row * ROW + 1);
    let width = WIDTH - x - 2;
    let conflict = split && node.writes();
    html! {
        g data-node=(node.name()) data-state=(node.state) data-role=(node.look.role.as_str()) class=[conflict.then_some("conflict")] {
            rect x=(x) y=(y) width=(width) height=(BOX - 2) rx=(if node.leads() { 2 } else { 12 }) {}
            @if conflict { rect x=(x + 4) y=(y + 4) width=(width - 8) height=(BOX - 10) {} }
            use href={ "#" (nodes::sign(node, view)) } x=(x + 9) y=(y + 12) width="24" height="24" {}
            text.name x=(x + 42) y=(y + 20) { (cut(node.name(), LONGEST)) }
            text.role x=(WIDTH - 12) y=(y + 20) text-anchor="end" { (nodes::role(node, view)) }
            // The table below has the whole.
            text x=(x + 42) y=(y + 39) { (cut(&words(node), WIDTH.saturating_sub(x + 56) / LETTER)) }
        }
    }
}

/// The state, and that nothing feeds a standby.
fn words(node: &Node) -> String {
    let words = nodes::state(node);
    match node.is_missing() && node.verdicts.up && !node.writes() {
        true => format!("NOT STREAMING, {words}"),
        false => words,
    }
}

/// So many letters at most.
fn cut(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

fn table(view: &View, places: &[Place]) -> Markup {
    html! {
        table {
            thead { tr { th { "node" } th { "role" } th { "state" } th { "fed by" } th { "received" } th { "replayed" } } }
            tbody { @for place in places { (line(&view.nodes[place.node], view)) } }
        }
    }
}

fn line(node: &Node, view: &View) -> Markup {
    let is_standby = node.look.role.as_str() == "standby";
    html! {
        tr data-node=(node.name()) data-state=(node.state) data-role=(node.look.role.as_str()) data-replay=[is_standby.then_some(node.look.replay)] {
            th scope="row" { (node.name()) }
            td { (nodes::role(node, view)) }
            td class=[nodes::is_bad(node).then_some("bad")] {
                (state(node))
                @if !node.why.is_empty() { span.why { (node.why) } }
                @if node.verdicts.witnessed { span.why { "A standby proves that it lives." } }
            }
            @match &node.verdicts.lag {
                Some(lag) if !node.writes() => {
                    td class=[node.is_missing().then_some("bad")] { (fed_by(node)) }
                    td.figure { (stage(&lag.received)) }
                    td.figure { (stage(&lag.replayed)) }
                }
                _ => { td { "–" } td { "–" } td { "–" } }
            }
        }
    }
}

/// The state with what replay does, without the lag.
fn state(node: &Node) -> String {
    let since = node.since.map(|since| format!(", since {}", super::figures::time(since))).unwrap_or_default();
    let state = format!("{}{since}", nodes::meaning(node.state));
    match node.look.replay {
        "paused" => format!("{state}, replay paused"),
        "pause_requested" => format!("{state}, pause of replay requested"),
        _ => state,
    }
}

fn fed_by(node: &Node) -> String {
    let upstream = match &node.verdicts.upstream {
        Some(Upstream::Node(name)) => name.clone(),
        Some(Upstream::Other) => "a server that the config does not name".to_owned(),
        Some(Upstream::None) => "nobody".to_owned(),
        Some(Upstream::Unknown) | None => "unknown".to_owned(),
    };
    if node.is_missing() { format!("{upstream}: not connected") } else { upstream }
}

fn stage(lag: &StageLag) -> String {
    match lag.bytes {
        Some(amount) => format!("{}, {}", nodes::behind(lag), bytes(amount)),
        None => nodes::behind(lag),
    }
}
