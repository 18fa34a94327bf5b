//! Every metric family that there is. Rules, dashboards, runbooks and `docs/metrics.md` are checked against it.

use super::family::Family;
use super::{own, runbooks};
use crate::archive_watch::{archive_dir, hostside};
use crate::cluster;
use crate::collector::COLLECTORS;
use crate::doctor;
use crate::server_log::said;

/// The families of other modules than collectors, a slice for each module.
static OTHERS: &[&[&Family]] = &[
    cluster::families::FAMILIES,
    cluster::maintenance::FAMILIES,
    hostside::FAMILIES,
    archive_dir::FAMILIES,
    said::FAMILIES,
    cluster::visible::FAMILIES,
    doctor::FAMILIES,
    own::FAMILIES,
    runbooks::FAMILIES,
];

/// All families, those of one module together, each once.
pub fn families() -> Vec<&'static Family> {
    let collectors = COLLECTORS.iter().map(|collector| collector.families());
    collectors.chain(OTHERS.iter().copied()).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metric::family::{Kind, Unit};

    fn legal(name: &str) -> bool {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && !name.contains("__")
            && !name.ends_with('_')
    }

    #[test]
    fn names_are_legal_unique_and_ours() {
        let mut names = BTreeSet::new();
        for family in families() {
            assert!(family.name.starts_with("pgvigil_") && legal(family.name), "{}", family.name);
            assert!(names.insert(family.name), "{} twice", family.name);
        }
    }

    #[test]
    fn the_unit_is_last_and_counters_end_in_total() {
        for family in families() {
            let (stem, total) = match family.name.strip_suffix("_total") {
                Some(stem) => (stem, true),
                None => (family.name, false),
            };
            assert_eq!(total, family.kind == Kind::Counter, "{}", family.name);
            assert_eq!(stem.ends_with("_seconds"), family.unit == Unit::Seconds, "{}", family.name);
            assert_eq!(stem.ends_with("_bytes"), family.unit == Unit::Bytes, "{}", family.name);
        }
    }

    #[test]
    fn no_name_ends_like_the_series_of_another_type() {
        for family in families() {
            for suffix in ["_bucket", "_count", "_sum", "_created"] {
                assert!(!family.name.ends_with(suffix), "{}", family.name);
            }
        }
    }

    #[test]
    fn help_is_one_plain_sentence() {
        for family in families() {
            let help = family.help;
            assert!(!help.contains(['\n', '\\', '"', '|']), "{}: the formats escape these differently", family.name);
            assert!(help.ends_with('.') && !help.ends_with("..") && !help.contains("  "), "{}: {help}", family.name);
            assert!(help.len() >= 20 && help.trim() == help, "{}: {help}", family.name);
        }
    }

    #[test]
    fn labels_are_legal_and_begin_with_cluster_and_node() {
        for family in families() {
            let labels = family.labels;
            let unique: BTreeSet<_> = labels.iter().collect();
            assert_eq!(unique.len(), labels.len(), "{}", family.name);
            for label in labels {
                assert!(
                    legal(label) && !["le", "quantile", "job", "instance"].contains(label),
                    "{} {label}",
                    family.name
                );
                assert!(!["pid", "port", "lsn", "slot_name"].contains(label), "{} {label} is no identity", family.name);
            }
            let node = labels.iter().position(|label| *label == "node");
            let cluster = labels.iter().position(|label| *label == "cluster");
            assert!(cluster.is_none_or(|at| at == 0) && node.is_none_or(|at| at == 1), "{}", family.name);
        }
    }
}
