//! Runbooks: one file each, front matter that says what would be done, and Markdown that a person reads. `docs/runbooks.md` describes
//! the form. This version reads and checks the steps, and runs none of them.

pub mod book;
pub mod markdown;
pub mod shelf;
