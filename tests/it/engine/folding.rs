//! Long runs with everything drawn, and what their records say of them.

use pgvigil::runbook::book::Mode;
use pgvigil::runbook::run::{Event, Phase, Run, RunRecord};
use proptest::prelude::*;

use super::BOOKS;
use super::model::{Model, at};
use super::world::Chance;

/// So many moves are enough once all goes well.
const ENOUGH: usize = 120;

/// As the journal hands it back.
fn from_disk(event: &Event) -> Event {
    let record = RunRecord { run: "run".to_owned(), event: event.clone() };
    let line = serde_json::to_string(&record).unwrap();
    serde_json::from_str::<RunRecord>(&line).unwrap().event
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn records_alone_give_the_same_run_at_every_one_of_them(
        book in 0..BOOKS.len(),
        mode in 0usize..3,
        script in proptest::collection::vec(prop_oneof![3 => Just(0usize), 1 => 0usize..6], 0..160),
    ) {
        let mode = [Mode::DryRun, Mode::Manual, Mode::Automatic][mode];
        let mut model = Model::new(BOOKS[book], mode, true);
        let mut chance = Chance::new(script);
        let mut after = 0;
        while !matches!(model.run.phase, Phase::Ended(_)) {
            model.turn(&mut chance);
            after += usize::from(chance.is_over());
            prop_assert!(after < ENOUGH, "no end: {:?}", model.key());
        }
        let records = model.records.unwrap();
        let Event::Planned(plan) = from_disk(&records[0]) else { unreachable!() };
        let mut run = Run::begin("run".to_owned(), 1, *plan, at(0));
        for (tick, lived) in (0u64..).zip(&model.lived) {
            if tick > 0 {
                run.fold(&from_disk(&records[tick as usize]), at(tick));
            }
            prop_assert_eq!(&run, lived);
        }
        // Nothing that comes later changes it, but that somebody takes note.
        let over = run.clone();
        for event in &records {
            run.fold(event, at(1_000_000));
            prop_assert_eq!(&run, &over);
        }
        run.fold(&Event::Acknowledged { by: "dba".to_owned(), comment: String::new() }, at(1_000_001));
        prop_assert!(!run.is_unacknowledged());
    }
}
