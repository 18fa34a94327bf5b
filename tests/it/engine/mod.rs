//! The engine's core in a small world: which node is really fenced, promoted and writable, hooks that fail, lie and come late, a process
//! that dies after any record. Everything that can happen is picked by a [`Chance`], so that it can be drawn or tried out in full.

mod books;
mod explore;
mod folding;
mod model;
mod world;

pub use books::{BOOKS, plan};
pub use explore::explored;
pub use model::Edge;
