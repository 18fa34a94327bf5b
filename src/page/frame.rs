//! What stands around the sections: the document, its signs, and the word on whether it is live.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Section;
use super::figures::time;
use crate::clock::Wall;

/// The style sheet.
pub const STYLE: &str = include_str!("page.css");
/// The script that takes newer sections in.
pub const SCRIPT: &str = include_str!("page.js");
/// The sign of the page.
pub const ICON: &str = include_str!("icon.svg");
/// The signs of nodes and a hatch for what is not known, each of a shape of its own.
pub const SIGNS: &str = include_str!("signs.svg");

/// A page.
pub struct Frame<'a> {
    /// What is shown, for the title.
    pub title: &'a str,
    /// Its heading, and what leads back: text and address.
    pub back: Option<(&'a str, &'a str)>,
    /// Where newer sections come from.
    pub events: &'a str,
    /// When it was made.
    pub made: Wall,
}

/// The whole document.
pub fn page(frame: &Frame<'_>, sections: &[Section]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "pgvigil: " (frame.title) }
                link rel="icon" href="/page/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/page/page.css";
                script src="/page/page.js" defer {}
            }
            body {
                (PreEscaped(SIGNS))
                header {
                    h1 {
                        @if let Some((text, address)) = frame.back { a href=(address) { (text) } " / " }
                        (frame.title)
                    }
                    // The script says it of a page that is open.
                    p id="live" data-live="no" data-events=(frame.events) role="status" {
                        "As of " (time(frame.made)) ". Reload for newer values."
                    }
                }
                main { @for section in sections { (PreEscaped(&section.html)) } }
                footer {
                    p {
                        a href="/runbooks/" { "Runbooks" } " · " a href="/checks/" { "Checks" } " · " a href="/" { "All clusters" } " · "
                        a href="/metrics" { "/metrics" } " · " a href="/api/v1/clusters" { "/api/v1/clusters" } " · "
                        a href="/-/healthy" { "/-/healthy" } " · " a href="/-/ready" { "/-/ready" }
                    }
                    p { "pgvigil " (env!("CARGO_PKG_VERSION")) }
                }
            }
        }
    }
}
