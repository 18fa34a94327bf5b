use super::*;

fn answer<'a>(sqlstate: &'a str, routine: Option<&'a str>, severity: &'a str) -> Answer<'a> {
    Answer { severity, sqlstate, message: "said", detail: None, routine }
}

/// Each line of `recorded.tsv` came from a real server under the fault that it names.
#[test]
fn recorded_answers_mean_what_was_done_to_the_server() {
    let mut checked = 0;
    for line in include_str!("recorded.tsv").lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [_, _, _, severity, sqlstate, routine, message, detail, expected] = cells[..] else {
            panic!("not nine cells: {line}");
        };
        let detail = (!detail.is_empty()).then_some(detail);
        let routine = (!routine.is_empty()).then_some(routine);
        let failure = classify_server_error(&Answer { severity, sqlstate, message, detail, routine }, None);
        assert_eq!(failure.cause.as_str(), expected, "{line}");
        assert_eq!(failure.intended_stop, failure.state == NodeState::Stopping, "{line}");
        checked += 1;
    }
    assert!(checked >= 200, "{checked}");
}

#[test]
fn unknown_words_after_an_intended_stop_are_still_a_stop() {
    let unknown = Answer { message: "tietokanta sulkeutuu", ..answer("57P03", Some("BackendInitialize"), "FATAL") };
    let alone = classify_server_error(&unknown, None);
    assert_eq!((alone.state, alone.cause, alone.intended_stop), (NodeState::Rejecting, Cause::Unavailable, false));
    assert!(alone.message.contains("not recognised"), "{alone}");

    let stop = classify_server_error(&answer("57P01", Some("ProcessInterrupts"), "FATAL"), None);
    let next = classify_server_error(&unknown, Some(&stop));
    assert_eq!((next.state, next.intended_stop), (NodeState::Stopping, true));
    let gone = classify_io(ErrorKind::ConnectionRefused, Some(111), Some(&next));
    assert_eq!((gone.state, gone.cause, gone.intended_stop), (NodeState::Unreachable, Cause::Refused, true));
    let start = Answer { message: "the database system is starting up", ..unknown };
    assert!(!classify_server_error(&start, Some(&gone)).intended_stop);
}

#[test]
fn a_crash_is_no_intended_stop() {
    let crash = classify_server_error(&answer("57P02", Some("quickdie"), "WARNING"), None);
    assert!(!classify_io(ErrorKind::ConnectionRefused, Some(111), Some(&crash)).intended_stop);
    assert_eq!(
        classify_io(ErrorKind::UnexpectedEof, None, Some(&crash)).cause,
        Cause::BackendCrash,
        "its parting word"
    );
    let orphaned = classify_server_error(&answer("57P01", Some("secure_read"), "FATAL"), None);
    assert_eq!((orphaned.state, orphaned.intended_stop), (NodeState::Unreachable, false));
}

#[test]
fn our_own_limits_say_nothing_about_the_server() {
    let failure = classify_io(ErrorKind::Other, Some(24), None);
    assert_eq!((failure.state, failure.cause), (NodeState::Unknown, Cause::Local));
    assert!(failure.message.ends_with("(EMFILE)"), "{failure}");
}

#[test]
fn failures_without_errno_go_by_their_kind() {
    for (kind, cause) in [
        (ErrorKind::TimedOut, Cause::Timeout),
        (ErrorKind::UnexpectedEof, Cause::Closed),
        (ErrorKind::ConnectionReset, Cause::Reset),
        (ErrorKind::InvalidData, Cause::Unreachable),
        (ErrorKind::Other, Cause::Unreachable),
    ] {
        assert_eq!(classify_io(kind, None, None).cause, cause);
    }
}

#[test]
fn what_a_server_says_is_shown_on_one_short_line() {
    let long = format!("a\nb\u{7}{}", "ä".repeat(1000));
    let failure = classify_server_error(&Answer { message: &long, ..answer("99999", Some("x"), "FATAL") }, None);
    assert_eq!(failure.cause, Cause::Other);
    assert!(failure.message.chars().count() < 400 && !failure.message.contains(char::is_control));
}

#[test]
fn every_rule_can_be_reached() {
    for (index, rule) in ANSWERS.iter().enumerate() {
        let sqlstate = rule.sqlstate.replace('*', "ZZZ");
        let routine = match rule.routine {
            "*" => Some("any"),
            "-" => None,
            routine => Some(routine),
        };
        let severity = if rule.severity == "*" { "FATAL" } else { rule.severity };
        let first = ANSWERS.iter().position(|rule| rule.matches(&answer(&sqlstate, routine, severity)));
        assert_eq!(first, Some(index), "{rule:?}");
    }
    let errnos: std::collections::BTreeSet<_> = IO_ERRORS.iter().map(|rule| rule.name).collect();
    assert_eq!(errnos.len(), IO_ERRORS.len());
}

/// The rows of the table whose heading begins with `first`, without its two heading lines.
fn documented(first: &str) -> Vec<&'static str> {
    let lines = include_str!("../../../docs/node-states.md").lines();
    let table = lines.skip_while(|line| !line.starts_with(&format!("| {first} |")));
    table.skip(2).take_while(|line| line.starts_with('|')).collect()
}

#[test]
fn the_documented_tables_are_the_code() {
    let states: Vec<_> = documented("state").iter().filter_map(|row| row.split('`').nth(1)).collect();
    assert_eq!(states, NodeState::ALL);

    let causes: Vec<_> =
        Cause::all().map(|cause| format!("| `{cause}` | {} | {} |", cause.state(), cause.meaning())).collect();
    assert_eq!(documented("reason"), causes, "\n{}\n", causes.join("\n"));

    let rules: Vec<_> = ANSWERS
        .iter()
        .map(|rule| format!("| {} | {} | {} | `{}` |", rule.sqlstate, rule.routine, rule.severity, rule.cause))
        .map(|row| row.replace("| * ", "| any ").replace("| - ", "| none "))
        .collect();
    assert_eq!(documented("SQLSTATE"), rules, "\n{}\n", rules.join("\n"));

    let io: Vec<_> = IO_ERRORS.iter().map(|rule| format!("| {} | `{}` |", rule.name, rule.cause)).collect();
    assert_eq!(documented("errno"), io, "\n{}\n", io.join("\n"));
}
