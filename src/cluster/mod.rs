//! What a cluster's nodes add up to: pure functions of their facts and `now`.
//!
//! [`Cluster`] takes in reports; [`history`] says when the primary was where; [`position`] says where a standby stands; [`lag`] is
//! the one held against the other; [`sync`] says whether commits can go on; [`settings`] holds a standby's against its
//! primary's; [`observers`] holds what others see against what we see; [`assess`] makes the verdicts.

pub mod assess;
#[expect(clippy::module_inception, reason = "the cluster itself")]
mod cluster;
pub mod facts;
pub mod families;
pub mod history;
pub mod lag;
pub mod layout;
pub mod loss;
pub mod memory;
pub mod observers;
pub mod position;
mod samples;
pub mod settings;
mod slots;
pub mod sync;
pub mod sync_names;
mod sync_tokens;

#[cfg(test)]
mod tests;

pub use cluster::{Cluster, WALSENDER_STAGES, WalsenderLags};
pub use samples::cluster_samples;
