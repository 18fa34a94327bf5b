//! What `make fuzz` runs for as long as one likes, here for a moment: every seed of its corpus, and seeds that were damaged.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::fixture::ROOT;
use targets::ALL;

/// The corpus stays small: it is read by everybody who clones.
const MOST_CORPUS_BYTES: usize = 64 << 10;

/// The seeds of a target, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(ROOT).join("fuzz/corpus").join(target);
    let mut seeds: Vec<_> = fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap()))
        .collect();
    seeds.sort();
    seeds
}

#[test]
fn every_seed_holds() {
    let mut bytes = 0;
    for (target, check) in ALL {
        let seeds = corpus(target);
        assert!(seeds.len() >= 3, "{target} has {} seeds", seeds.len());
        for (name, seed) in seeds {
            println!("{target}/{name}");
            check(&seed);
            bytes += seed.len();
        }
    }
    assert!(bytes <= MOST_CORPUS_BYTES, "the corpus has {bytes} bytes");
}

#[test]
fn every_function_is_a_target_and_no_other() {
    let names: BTreeSet<_> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    let dir = Path::new(ROOT).join("fuzz/fuzz_targets");
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let found: BTreeSet<_> = files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names, found);
    let manifest = fs::read_to_string(Path::new(ROOT).join("fuzz/Cargo.toml")).unwrap();
    for name in &names {
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// A seed of each target, cut and mended at random.
    #[test]
    fn no_damaged_seed_breaks_what_has_to_hold(
        which in any::<Index>(),
        cuts in prop::collection::vec((any::<Index>(), 0..20usize, prop::collection::vec(any::<u8>(), 0..6)), 1..5),
    ) {
        for (target, check) in ALL {
            let seeds = corpus(target);
            let (_, mut seed) = seeds[which.index(seeds.len())].clone();
            for (at, len, piece) in &cuts {
                let start = at.index(seed.len() + 1);
                let end = (start + len).min(seed.len());
                seed.splice(start..end, piece.iter().copied());
            }
            check(&seed);
        }
    }
}
