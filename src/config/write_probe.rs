//! How often the write probe of a cluster goes.

use std::time::Duration;

use serde_saphyr::Spanned;

use super::duration;
use super::problem::Problem;
use super::settings::Node;

/// The least and the most that `write_probe` may be.
pub(super) const WRITE_PROBE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// Judges it for the cluster `cluster` of these `nodes`.
pub(super) fn write_probe(given: &Spanned<String>, nodes: &[Node], cluster: &str) -> Result<Duration, Problem> {
    let (least, most) = WRITE_PROBE;
    let interval = duration::within(&given.value, least, most)
        .map_err(|why| Problem::new(given, format!("write_probe of cluster {cluster} {why}")))?;
    match nodes.iter().find(|node| node.admin_dsn.is_none()) {
        Some(node) => {
            let what =
                format!("write_probe of cluster {cluster} needs an admin_dsn of every node: {} has none", node.name);
            Err(Problem::new(given, what))
        }
        None => Ok(interval),
    }
}
