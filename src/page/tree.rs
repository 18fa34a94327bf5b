//! Who stands below whom: the order and the depth in which nodes are drawn.

use super::view::View;
use crate::cluster::upstream::Upstream;

/// Where a node is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The node's number.
    pub node: usize,
    /// How many feed one another above it; 0 for a primary.
    pub depth: usize,
    /// The row of the node that feeds it, where that is known.
    pub above: Option<usize>,
}

/// Every node once: those that write first, each followed by those that it feeds; then those of which nobody knows who feeds them.
pub fn places(view: &View) -> Vec<Place> {
    let mut places = Vec::with_capacity(view.nodes.len());
    let mut placed = vec![false; view.nodes.len()];
    let mut roots: Vec<usize> = (0..view.nodes.len()).filter(|node| view.nodes[*node].writes()).collect();
    roots.extend((0..view.nodes.len()).filter(|node| view.nodes[*node].leads() && !view.nodes[*node].writes()));
    for root in roots {
        add(view, Place { node: root, depth: 0, above: None }, &mut places, &mut placed);
    }
    // A ring of standbys that feed one another has no root: its first is one.
    let fed = |node: usize| upstream(view, node).is_some();
    let mut rest: Vec<usize> = (0..view.nodes.len()).filter(|node| !fed(*node)).collect();
    rest.extend(0..view.nodes.len());
    for node in rest {
        add(view, Place { node, depth: 1, above: None }, &mut places, &mut placed);
    }
    places
}

fn add(view: &View, place: Place, places: &mut Vec<Place>, placed: &mut [bool]) {
    if std::mem::replace(&mut placed[place.node], true) {
        return;
    }
    let row = places.len();
    places.push(place);
    for node in 0..view.nodes.len() {
        if upstream(view, node) == Some(place.node) {
            add(view, Place { node, depth: place.depth + 1, above: Some(row) }, places, placed);
        }
    }
}

/// The number of the node that feeds this one.
fn upstream(view: &View, node: usize) -> Option<usize> {
    match view.nodes[node].verdicts.upstream.as_ref()? {
        Upstream::Node(name) => view.nodes.iter().position(|other| other.name() == name),
        Upstream::Other | Upstream::None | Upstream::Unknown => None,
    }
}
