//! What a server's own log tells, where pgvigil may read it: causes that nothing else names.
//!
//! Pure: [`class`] is the table of what is looked for, [`entry`] finds the entries in the bytes, [`said`] are the facts with their
//! series. Files are touched by [`follow`].

pub mod class;
pub mod entry;
pub mod follow;
pub mod said;
