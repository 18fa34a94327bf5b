//! Screens from answers of a real pgvigil: `tests/fixtures/status/<name>.json`; `UPDATE=1 cargo test --test it live::status` records
//! them anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;
use serde_json::Value;

use super::answer::Brief;
use super::draw::{Look, draw};
use super::view::{Picture, Seen, screen};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/status").join(name)
}

fn recorded(name: &str) -> Seen {
    let text = std::fs::read_to_string(file(&format!("{name}.json"))).unwrap();
    let answers: Value = serde_json::from_str(&text).unwrap();
    let part = |key: &str| answers[key].clone();
    let picture = Picture {
        all: serde_json::from_value(part("clusters")).unwrap(),
        cluster: Some(serde_json::from_value(part("cluster")).unwrap()),
        runs: serde_json::from_value(part("runs")).unwrap(),
    };
    Seen {
        server: "http://127.0.0.1:10187".to_owned(),
        interval: Duration::from_secs(2),
        picture: Some(Arc::new(picture)),
        age: Duration::from_millis(900),
        trouble: None,
        chosen: None,
    }
}

fn refused(mut seen: Seen) -> Seen {
    seen.age = Duration::from_secs(75);
    seen.trouble = Some("http://127.0.0.1:10187/api/v1/clusters does not answer: Connection refused (os error 111); is pgvigil serve running there?".to_owned());
    seen
}

fn drawn(seen: &Seen, (width, height): (u16, u16), look: Look) -> (Buffer, usize) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let mut most = 0;
    terminal.draw(|frame| most = draw(frame, &screen(seen, usize::from(width)), look)).unwrap();
    (terminal.backend().buffer().clone(), most)
}

fn text(buffer: &Buffer) -> String {
    let rows = buffer.content().chunks(usize::from(buffer.area.width).max(1));
    let rows = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    rows.map(|row| format!("{}\n", row.trim_end())).collect()
}

fn plain(seen: &Seen, size: (u16, u16)) -> String {
    text(&drawn(seen, size, Look::default()).0)
}

#[test]
fn screens_are_as_they_were_looked_at() {
    let mut silent = refused(recorded("healthy"));
    silent.picture = None;
    for (name, seen, size) in [
        ("healthy-80x24", recorded("healthy"), (80, 24)),
        ("healthy-120x30", recorded("healthy"), (120, 30)),
        ("healthy-40x20", recorded("healthy"), (40, 20)),
        ("killed-80x24", recorded("killed"), (80, 24)),
        ("split-80x24", recorded("split"), (80, 24)),
        ("old-80x24", refused(recorded("healthy")), (80, 24)),
        ("silent-80x24", silent, (80, 24)),
    ] {
        let path = file(&format!("{name}.txt"));
        let shown = plain(&seen, size);
        if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
            std::fs::write(&path, &shown).unwrap();
        }
        assert_eq!(shown, std::fs::read_to_string(&path).unwrap_or_default(), "{name}: look at it, then UPDATE=1");
    }
}

#[test]
fn an_old_picture_says_so_and_calls_nothing_fine() {
    let fresh = recorded("healthy");
    assert!(plain(&fresh, (80, 24)).contains("would go to"));
    let look = Look { colour: true, ..Look::default() };
    let green = |seen: &Seen| drawn(seen, (80, 24), look).0.content().iter().any(|cell| cell.fg == Color::Green);
    assert!(green(&fresh));
    let late = Seen { age: Duration::from_secs(6), ..fresh.clone() };
    for (old, age) in [(refused(fresh), "1 min 15 s"), (late, "6 s")] {
        let shown = plain(&old, (80, 24));
        assert!(shown.contains(&format!("{age} old")) && shown.contains("WAS") && !shown.contains("STATE"), "{shown}");
        assert!(!shown.contains("would go to") && shown.contains("failover  not known"), "{shown}");
        assert!(!green(&old));
    }
}

#[test]
fn without_colour_there_is_none() {
    for name in ["healthy", "killed", "split"] {
        let (buffer, _) = drawn(&refused(recorded(name)), (80, 24), Look::default());
        assert!(buffer.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset), "{name}");
    }
}

#[test]
fn no_size_is_too_small_and_what_does_not_fit_can_be_scrolled_to() {
    for name in ["healthy", "killed", "split"] {
        let seen = refused(recorded(name));
        for (width, height) in (0..45).step_by(4).flat_map(|width| (0..12).map(move |height| (width, height))) {
            for help in [false, true] {
                drawn(&seen, (width, height), Look { help, ..Look::default() });
            }
        }
    }
    let seen = recorded("split");
    let (first, most) = drawn(&seen, (80, 10), Look::default());
    assert!(most > 0 && !text(&first).contains("slots  "), "{}", text(&first));
    let all: String =
        (0..=most).map(|scroll| text(&drawn(&seen, (80, 10), Look { scroll, ..Look::default() }).0)).collect();
    for line in plain(&seen, (80, 100)).lines().filter(|line| !line.starts_with("q quit")) {
        assert!(all.contains(line), "{line} cannot be reached");
    }
}

#[test]
fn the_chosen_cluster_is_among_those_that_are_listed() {
    let mut seen = recorded("healthy");
    let all = &mut Arc::make_mut(seen.picture.as_mut().unwrap()).all.clusters;
    let one = all[0].clone();
    all.extend((0..40).map(|number| Brief { name: format!("c{number:02}"), ..one.clone() }));
    for chosen in ["lab", "c00", "c20", "c39"] {
        seen.chosen = Some(chosen.to_owned());
        let shown = plain(&seen, (80, 24));
        assert!(shown.contains(&format!("> {chosen}")), "{shown}");
        assert!(shown.contains("j k cluster"));
    }
}

#[test]
fn a_split_brain_and_a_dead_node_are_words() {
    let split = plain(&recorded("split"), (80, 24));
    assert!(split.contains("SPLIT BRAIN") && split.contains("would not work: several nodes write"), "{split}");
    let killed = plain(&recorded("killed"), (80, 24));
    assert!(killed.contains("unreachable") && killed.contains("why"), "{killed}");
}
