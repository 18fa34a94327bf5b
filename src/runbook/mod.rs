//! Runbooks: one file each, front matter that says what is done, and Markdown that a person reads. `docs/runbooks.md` describes the form.
//!
//! What Alertmanager hands in, and whatever is done about it, is in the [`journal`], which the [`intake`] writes. The [`engine`] looks at
//! the cluster ([`evidence`]), judges the [`guard`]s, asks [`decide`] what comes next, and does a [`step`] after its intent is on disk.
//! The [`lock`] says who may act.

pub mod book;
pub mod candidate;
pub mod chain;
pub mod decide;
pub mod engine;
pub mod evidence;
pub mod guard;
pub mod intake;
pub mod journal;
pub mod lock;
pub mod manager;
pub mod markdown;
pub mod plan;
pub mod record;
pub mod run;
pub mod runs;
pub mod seen;
pub mod shelf;
pub mod step;
pub mod story;
pub mod verdict;
