//! The nearest known name, for "did you mean".

/// The one of `known` that `name` was probably meant to be, if any is near enough.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.is_empty() || name.len() > 60 {
        return None;
    }
    let name = name.to_ascii_lowercase().replace('-', "_");
    let distance = |candidate: &str| {
        let edits = strsim::damerau_levenshtein(&name, candidate);
        let part = name.len() >= 4 && candidate.len() >= 4 && (candidate.contains(&name) || name.contains(candidate));
        let limit = (name.chars().count().max(candidate.chars().count()) / 3).max(1);
        (edits <= limit || part).then_some(edits)
    };
    let mut near: Vec<_> = known.into_iter().filter_map(|candidate| Some((distance(candidate)?, candidate))).collect();
    near.sort_unstable();
    near.first().map(|(_, candidate)| *candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant_and_nothing_else() {
        let known = ["dsn", "dsn_file", "slot", "sample_interval", "nodes", "sslmode"];
        for (name, meant) in [
            ("dns", Some("dsn")),
            ("slto", Some("slot")),
            ("node", Some("nodes")),
            ("interval", Some("sample_interval")),
            ("DSN-File", Some("dsn_file")),
            ("hunter2", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), meant, "{name}");
        }
    }
}
