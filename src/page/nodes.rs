//! A node in words and by its sign: what the drawing and the table share, so that neither needs a colour to be understood.

use super::figures::{seconds, time};
use super::view::{Node, View};
use crate::cluster::assess::Verdict;
use crate::cluster::lag::StageLag;
use crate::pg::failure::NodeState;

/// The `id` of the sign that stands for a node, of those that [`super::frame::SIGNS`] draws.
pub fn sign(node: &Node, view: &View) -> &'static str {
    match node.state {
        NodeState::Up if node.writes() && view.split_brain == Verdict::Yes => "i-split",
        NodeState::Up if node.writes() => "i-primary",
        NodeState::Up if node.is_paused() => "i-paused",
        NodeState::Up => "i-standby",
        NodeState::Starting => "i-starting",
        NodeState::Stopping => "i-stopping",
        NodeState::Rejecting => "i-refuses",
        NodeState::AuthFailed => "i-locked",
        NodeState::Timeout => "i-hung",
        NodeState::Unreachable => "i-dead",
        NodeState::Unknown => "i-unknown",
    }
}

/// What a state means, after its own word.
pub const fn meaning(state: NodeState) -> &'static str {
    match state {
        NodeState::Up => "up",
        NodeState::Starting => "starting",
        NodeState::Stopping => "stopping",
        NodeState::Rejecting => "rejecting: it turns us away",
        NodeState::AuthFailed => "auth_failed: our login is refused",
        NodeState::Timeout => "timeout: it hangs or is cut off",
        NodeState::Unreachable => "unreachable: nobody listens there",
        NodeState::Unknown => "unknown: not read yet",
    }
}

/// What it is in the cluster.
pub fn role(node: &Node, view: &View) -> &'static str {
    match (node.writes(), node.verdicts.is_primary, view.split_brain) {
        (true, true, Verdict::Yes) => "PRIMARY, NOT ALONE",
        (true, false, Verdict::Yes) => "SECOND PRIMARY",
        (true, true, _) => "PRIMARY",
        (true, false, _) => "writes, of another system",
        (false, true, _) => "was the primary",
        (false, false, _) if node.look.role.as_str() == "standby" => "standby",
        (false, false, _) => "role not known",
    }
}

/// The state and since when, and for a standby that is up how far it is behind.
pub fn state(node: &Node) -> String {
    let since = node.since.map(|since| format!(" since {}", time(since))).unwrap_or_default();
    match (node.state, &node.verdicts.lag) {
        (NodeState::Up, Some(lag)) if !node.writes() => match node.look.replay {
            "paused" => format!("up, REPLAY PAUSED, {}", behind(&lag.replayed)),
            "pause_requested" => format!("up, PAUSE REQUESTED, {}", behind(&lag.replayed)),
            _ => format!("up, {}", behind(&lag.replayed)),
        },
        (state, _) => format!("{}{since}", meaning(state)),
    }
}

/// How far behind a stage is.
pub fn behind(lag: &StageLag) -> String {
    match lag.seconds {
        Ok(late) => format!("{} behind", seconds(late)),
        Err(why) => format!("lag unknown: {}", why.as_str()),
    }
}

/// Whether anything about it is wrong, and not only not known.
pub fn is_bad(node: &Node) -> bool {
    !matches!(node.state, NodeState::Up | NodeState::Unknown)
        || node.is_paused()
        || node.is_missing()
        || node.verdicts.lineage.diverged == Some(Verdict::Yes)
        || node.verdicts.needs_rebuild == Some(Verdict::Yes)
}
