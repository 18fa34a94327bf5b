//! What the steps of a runbook are done with: looks at servers, and acts on them, each over a connection of its own. Nothing here
//! decides whether to act.

pub mod hook;
pub mod listen;
pub mod look;
pub mod node;
mod primary;
mod processes;
pub mod promote;
pub mod repoint;
mod server;
pub mod statement;
pub mod stream;
pub mod synchronous;
pub mod verify;
mod write_conninfo;
