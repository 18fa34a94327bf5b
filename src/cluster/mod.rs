//! What a cluster's nodes add up to: pure functions of their facts and `now`.
//!
//! [`Cluster`] takes in reports; [`history`] says when the primary was where; [`position`] says where a standby stands; [`lag`] is
//! the one held against the other; [`upstream`] says who feeds it; [`sync`] says whether commits can go on; [`settings`] holds a
//! standby's against its primary's; [`timelines`] and [`promotable`] say who may follow and who may take over, [`loss`] what that would
//! lose; [`observers`] holds what others see against what we see; [`witness`] says whether a node that we do not reach lives; [`assess`]
//! makes the verdicts; [`routing`] says where clients may go.

pub mod archive;
pub mod aside;
pub mod assess;
#[expect(clippy::module_inception, reason = "the cluster itself")]
mod cluster;
pub mod facts;
pub mod families;
pub mod history;
pub mod lag;
pub mod layout;
pub mod look;
pub mod loss;
pub mod maintenance;
pub mod memory;
pub mod observers;
pub mod position;
pub mod promotable;
mod rebuild;
pub mod reconnects;
pub mod routing;
mod samples;
mod senders;
pub mod settings;
mod slots;
pub mod source;
pub mod sync;
pub mod sync_names;
mod sync_tokens;
pub mod timelines;
pub mod trend;
pub mod upstream;
pub mod visible;
mod witness;

#[cfg(test)]
pub(crate) mod tests;

pub use cluster::{Cluster, WALSENDER_STAGES, WalsenderLags};
pub use samples::cluster_samples;
