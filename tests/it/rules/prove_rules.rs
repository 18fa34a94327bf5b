//! All tests in all variants, by hand: `make prove-rules`. `make check` has those that most users have.

use super::variant::Layout;
use super::{Extent, case, failures, run_in};

#[test]
fn every_test_passes_as_it_is_written() {
    let files: Vec<_> = case::files().iter().map(|(path, _)| path.display().to_string()).collect();
    assert!(files.len() > 1);
    if let Some(said) = failures(&files) {
        panic!("{said}");
    }
}

#[test]
fn every_test_passes_with_one_pgvigil_in_a_whole_cluster() {
    run_in(Layout::Central, Extent::All);
}

#[test]
fn every_test_passes_over_a_restart() {
    run_in(Layout::CentralRestarts, Extent::All);
}

#[test]
fn every_test_passes_with_a_second_that_is_blind() {
    run_in(Layout::SecondIsBlind, Extent::All);
}

#[test]
fn every_test_passes_with_a_second_that_restarts_often() {
    run_in(Layout::SecondRestarts, Extent::All);
}

#[test]
fn every_test_passes_with_one_beside_each_node() {
    run_in(Layout::BesideEachNode, Extent::All);
}
