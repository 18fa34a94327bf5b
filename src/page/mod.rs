//! What people look at, as HTML: pure functions of a [`view::View`], a file for each section. A section is a whole element with an id,
//! so that a page that is open can take a newer one in its place.

pub mod archive;
pub mod checks;
pub mod figures;
pub mod frame;
pub mod headline;
pub mod lag;
pub mod nodes;
pub mod overview;
pub mod run;
pub mod runs;
pub mod slots;
pub mod topology;
pub mod tree;
pub mod verdict;
pub mod view;

#[cfg(test)]
mod tests;

use maud::Markup;
use view::View;

/// An element that is replaced as a whole when it changed.
pub struct Section {
    /// The `id` of its element.
    pub id: String,
    /// The element.
    pub html: String,
}

impl Section {
    /// The element `html`, which has this id.
    pub fn new(id: impl Into<String>, html: Markup) -> Self {
        Self { id: id.into(), html: html.into_string() }
    }
}

/// The sections of a cluster's page, in the order in which they are read.
pub fn sections(view: &View) -> Vec<Section> {
    vec![
        Section::new("headline", headline::headline(view, Some("headline"))),
        Section::new("topology", topology::section(view)),
        Section::new("verdict", verdict::section(view)),
        Section::new("lag", lag::section(view)),
        Section::new("runs", runs::section(view)),
        Section::new("checks", checks::section(view)),
        Section::new("archive", archive::section(view)),
        Section::new("slots", slots::section(view)),
    ]
}
