//! What pgvigil sees with its own eyes where it runs beside a server, or can look into its archive.
//!
//! Pure: [`waiting`] keeps account of `archive_status`, [`time_to_full`] of a volume, [`contents`] of an archive, [`line`] judges it,
//! [`hostside`] and [`archive_dir`] are the facts with their series. Files are touched by [`data_dir`], [`hints`] and [`archive`].

pub mod archive;
pub mod archive_dir;
pub mod contents;
pub mod data_dir;
pub mod hints;
pub mod history_file;
pub mod hostside;
pub mod line;
pub mod look_error;
pub mod time_to_full;
pub mod waiting;
