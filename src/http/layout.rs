//! What all pages for people look like: light or dark as the reader has it, readable on a phone, without a script.

use maud::{DOCTYPE, Markup, html};

const STYLE: &str = ":root{color-scheme:light dark;background:Canvas;color:CanvasText}\
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}\
table{border-collapse:collapse;width:100%;margin:.5rem 0 2rem}th,td{text-align:left;padding:.3rem .8rem;border-bottom:1px solid #8886;\
vertical-align:top}td.bad{font-weight:bold}@media(max-width:40rem){table{font-size:.85rem}th,td{padding:.3rem}td{overflow-wrap:anywhere}}\
article{overflow-wrap:break-word}article table{display:block;overflow-x:auto}\
code{font:.9em/1.4 ui-monospace,monospace;background:#8882;padding:.1em .3em}\
pre{overflow-x:auto;background:#8882;padding:.6rem .8rem}pre code{background:none;padding:0}";

/// A whole page.
pub(super) fn page(title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (STYLE) }
            }
            body { (body) }
        }
    }
}
