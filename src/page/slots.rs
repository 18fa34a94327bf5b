//! What each slot holds back, and how long it has until it may be lost.

use maud::{Markup, html};

use super::figures::{bytes, seconds};
use super::view::{Node, View};
use crate::cluster::look::SlotLook;

/// The section.
pub fn section(view: &View) -> Markup {
    let slots = || view.nodes.iter().flat_map(|node| node.look.slots.iter().flatten().map(move |slot| (node, slot)));
    let unknown: Vec<_> = view.nodes.iter().filter(|node| node.look.slots.is_none()).map(Node::name).collect();
    html! {
        section id="slots" aria-labelledby="slots-title" {
            h2 id="slots-title" { "Slots" }
            @if slots().next().is_some() {
                div.wide tabindex="0" role="region" aria-label="Table: Slots" {
                    table {
                        thead { tr { th { "slot" } th { "on" } th { "in use" } th { "WAL" } th { "holds back" } th { "may be lost" } } }
                        tbody { @for (node, slot) in slots() { (line(node, slot)) } }
                    }
                }
            } @else if unknown.len() < view.nodes.len() {
                p { "No slot is seen." }
            }
            @if !unknown.is_empty() { p { "? Not known on " (unknown.join(", ")) "." } }
        }
    }
}

fn line(node: &Node, slot: &SlotLook) -> Markup {
    let lost = matches!(slot.wal_status, "lost" | "unreserved");
    html! {
        tr data-slot=(slot.name) {
            th scope="row" { (slot.name) @if slot.kind == "logical" { " (logical)" } }
            td { (node.name()) }
            td { @if slot.active { "✓ yes" } @else if slot.expected { "▲ no" } @else { "no, and no node's" } }
            td class=[lost.then_some("bad")] { @if lost { "▲ " } (slot.wal_status) }
            td.figure { (slot.retained.map_or_else(|| "–".to_owned(), bytes)) }
            td.figure { (end(slot)) }
        }
    }
}

/// When it may be lost.
fn end(slot: &SlotLook) -> String {
    match (slot.wal_status, slot.seconds_to_lost, slot.safe) {
        ("lost", ..) => "it is lost".to_owned(),
        (_, Some(0.0), _) => "with the next checkpoint".to_owned(),
        (_, Some(time), Some(safe)) => {
            format!("in {}, after {} more", seconds(time), bytes(safe.max(0).cast_unsigned()))
        }
        (_, _, Some(safe)) => format!("after {} more", bytes(safe.max(0).cast_unsigned())),
        (_, _, None) => "no limit".to_owned(),
    }
}
