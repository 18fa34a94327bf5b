//! Pages put together from parts that were written apart: what did not change is not written again.

use std::collections::HashMap;
use std::ops::Range;
use std::ptr;

use super::super::family::Family;
use super::super::sample::Samples;
use super::{Format, Page, RenderError, protobuf, write};

/// The samples of one source, written.
#[derive(Debug)]
pub struct Fragment {
    written: Vec<u8>,
    blocks: Vec<Block>,
}

/// A family in what is written of a fragment.
#[derive(Debug)]
struct Block {
    family: &'static Family,
    /// Its comments; nothing in protobuf, where they are made anew.
    head: Range<usize>,
    /// Its samples.
    lines: Range<usize>,
}

impl Fragment {
    /// Writes `samples`.
    pub fn of(samples: Samples, format: Format) -> Result<Self, RenderError> {
        Self::with(&[], samples, format)
    }

    /// Writes `samples`, and the comments of each of `families`.
    fn with(families: &[&'static Family], samples: Samples, format: Format) -> Result<Self, RenderError> {
        let page = Page::new(families, samples, format);
        if format == Format::Protobuf {
            return Ok(Self::of_messages(&page));
        }
        let families: Vec<_> = page.groups.iter().map(|(family, _)| *family).collect();
        let text = write(page)?;
        let mut blocks = Vec::with_capacity(families.len());
        let mut start = 0;
        for family in families {
            let end = end_of_block(&text, start);
            let lines = start + comments(&text[start..end]);
            blocks.push(Block { family, head: start..lines, lines: lines..end });
            start = end;
        }
        debug_assert_eq!(start, text.len());
        let mut written = text.into_bytes();
        // Kept, and written into what was more than enough.
        written.shrink_to_fit();
        Ok(Self { written, blocks })
    }

    fn of_messages(page: &Page) -> Self {
        let (mut written, mut blocks) = (Vec::new(), Vec::new());
        for (family, metrics) in protobuf::metrics(page) {
            let start = written.len();
            written.extend(metrics);
            blocks.push(Block { family, head: start..start, lines: start..written.len() });
        }
        Self { written, blocks }
    }
}

/// Where the family that begins at `start` ends: no sample and no label begins a line as the comment of the next one does.
fn end_of_block(text: &str, start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    rest.find("\n# HELP ").map_or(text.len(), |at| start + at + 1)
}

/// How long the comments are with which a family begins.
fn comments(block: &str) -> usize {
    block.split_inclusive('\n').take_while(|line| line.starts_with('#')).map(str::len).sum()
}

/// Puts a page together: byte for byte the one that [`super::render`] makes of the samples of all `fragments`, one after the other. They
/// are of this `format`.
pub fn assemble<'a>(
    families: &[&'static Family],
    fragments: impl Iterator<Item = &'a Fragment>,
    format: Format,
) -> Result<Vec<u8>, RenderError> {
    let bare = Fragment::with(families, Samples::default(), format)?;
    // Each family with its comments, and its samples of every fragment.
    let mut groups: Vec<Group<'_>> = families.iter().map(|family| (*family, &[][..], Vec::new())).collect();
    for (group, block) in groups.iter_mut().zip(&bare.blocks) {
        group.1 = &bare.written[block.head.clone()];
    }
    let mut places: HashMap<*const Family, usize> =
        families.iter().enumerate().map(|(place, family)| (ptr::from_ref(*family), place)).collect();
    for fragment in fragments {
        for Block { family, head, lines } in &fragment.blocks {
            let place = *places.entry(ptr::from_ref(*family)).or_insert(groups.len());
            let lines = &fragment.written[lines.clone()];
            match groups.get_mut(place) {
                Some((.., parts)) => parts.push(lines),
                None => groups.push((*family, &fragment.written[head.clone()], vec![lines])),
            }
        }
    }
    let length = |group: &Group<'_>| group.1.len() + group.2.iter().map(|part| part.len()).sum::<usize>();
    let mut page = Vec::with_capacity(groups.iter().map(length).sum::<usize>() + END.len());
    for (family, head, parts) in &groups {
        match format {
            Format::Protobuf if parts.is_empty() => {}
            Format::Protobuf => protobuf::add_family(&mut page, family, parts),
            Format::OpenMetrics | Format::PrometheusText => {
                page.extend_from_slice(head);
                parts.iter().for_each(|part| page.extend_from_slice(part));
            }
        }
    }
    if format == Format::OpenMetrics {
        page.extend_from_slice(END);
    }
    Ok(page)
}

/// A family, its comments, and its samples of every fragment that has any.
type Group<'a> = (&'static Family, &'a [u8], Vec<&'a [u8]>);

/// How OpenMetrics ends.
const END: &[u8] = b"# EOF\n";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::render;
    use super::*;
    use crate::metric::family::{Kind, Observers, Unit};
    use crate::metric::histogram::Histogram;

    const fn family(name: &'static str, kind: Kind, unit: Unit, labels: &'static [&'static str]) -> Family {
        Family { name, help: "Help.", kind, unit, labels, observers: Observers::Max }
    }

    static NONE: Family = family("pgvigil_none", Kind::Gauge, Unit::None, &[]);
    static GAUGE: Family = family("pgvigil_g_bytes", Kind::Gauge, Unit::Bytes, &["cluster", "slot"]);
    static COUNTER: Family = family("pgvigil_c_seconds_total", Kind::Counter, Unit::Seconds, &["cluster", "slot"]);
    static HISTOGRAM: Family = family("pgvigil_h_seconds", Kind::Histogram, Unit::Seconds, &["cluster", "slot"]);
    static SILENT: Family = family("pgvigil_silent_total", Kind::Counter, Unit::None, &[]);
    static UNLISTED: Family = family("pgvigil_unlisted", Kind::Gauge, Unit::None, &["cluster", "slot"]);

    static LISTED: &[&Family] = &[&SILENT, &GAUGE, &NONE, &HISTOGRAM, &COUNTER];

    /// What somebody could call a slot to look like another line.
    const ODD: [&str; 5] = ["", "s", "a\n# HELP pgvigil_none Help.\n", "\"} 1\n# TYPE x gauge", "\\n# HELP "];

    fn add(samples: &mut Samples, (family, cluster, slot, value): &(u8, usize, usize, f64)) {
        let labels = [ODD[*cluster], ODD[*slot]];
        match family {
            0 => samples.number(&GAUGE, &labels, *value),
            1 => samples.number(&COUNTER, &labels, *value),
            2 => samples.number(&UNLISTED, &labels, *value),
            3 => samples.number(&NONE, &[], *value),
            _ => {
                let mut histogram = Histogram::new(&[0.5, 1.0]);
                histogram.observe(*value);
                samples.histogram(&HISTOGRAM, &labels, &histogram);
            }
        }
    }

    proptest! {
        #[test]
        fn a_page_of_fragments_is_the_page_of_their_samples(
            parts in prop::collection::vec(prop::collection::vec((0_u8..5, 0_usize..5, 0_usize..5, 0.0..3.0), 0..12), 0..5),
        ) {
            for format in [Format::OpenMetrics, Format::PrometheusText, Format::Protobuf] {
                let mut all = Samples::default();
                parts.iter().flatten().for_each(|sample| add(&mut all, sample));
                let fragments: Vec<_> = parts.iter().map(|part| {
                    let mut samples = Samples::default();
                    part.iter().for_each(|sample| add(&mut samples, sample));
                    Fragment::of(samples, format).unwrap()
                }).collect();
                let page = assemble(LISTED, fragments.iter(), format).unwrap();
                prop_assert_eq!(page, render(LISTED, all, format).unwrap());
            }
        }
    }
}
