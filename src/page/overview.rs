//! All clusters at a glance, each with what is wrong and whether a failover would work.

use maud::{Markup, html};

use super::Section;
use super::headline::headline;
use super::view::View;

/// A section for each cluster.
pub fn sections(views: &[View]) -> Vec<Section> {
    views.iter().map(|view| Section::new(id(view), card(view))).collect()
}

fn id(view: &View) -> String {
    format!("cluster-{}", view.cluster)
}

fn card(view: &View) -> Markup {
    let title = format!("{}-title", id(view));
    html! {
        section.cluster id=(id(view)) aria-labelledby=(title) {
            h2 id=(title) { a href={ "/clusters/" (view.cluster) } { (view.cluster) } }
            (headline(view, None))
        }
    }
}
