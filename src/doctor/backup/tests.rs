use super::*;

/// What pgBackRest 2.45 and Barman 3.4 said of backups of a real server: `tests/fixtures/backup`.
macro_rules! said {
    ($name:literal) => {
        include_str!(concat!("../../../tests/fixtures/backup/", $name, ".json"))
    };
}

const DAY: f64 = 86_400.0;

/// What is wrong so many seconds after the end of the newest backup that ended.
fn fault(tool: Tool, said: &str, after: f64) -> String {
    let found = tool.read(said, "lab").unwrap();
    let ended = found.iter().find_map(|backup| backup.ended).unwrap_or(Wall::from_seconds(0.0));
    let now = Wall::from_seconds(ended.as_seconds() + after);
    let backups = Backups {
        tool,
        name: "lab".to_owned(),
        max_age: Duration::from_secs(36 * 3600),
        counts_for: Duration::MAX,
        found: Ok(found.clone()),
    };
    backups.fault(&found, Some("7711376062252677906"), now).map_or_else(String::new, |fault| fault.seen)
}

#[test]
fn what_pgbackrest_says_is_judged() {
    let fault = |said: &str, after: f64| fault(Tool::Pgbackrest, said, after);
    let good = said!("pgbackrest-good");
    assert_eq!(fault(good, DAY), "");
    assert!(fault(good, 1.6 * DAY).contains("is 38.4 h old; max_age is 36.0 h"));
    assert_eq!(fault(said!("pgbackrest-none"), 0.0), "there is no backup of pgBackRest lab");
    assert!(
        fault(said!("pgbackrest-no-wal"), DAY).contains("WAL up to 000000010000000000000002 is not in the archive")
    );
    assert!(
        fault(&good.replace("\"max\":\"000000010000000000000002\"", "\"max\":\"000000010000000000000001\""), DAY)
            .contains("not in the archive")
    );
    assert!(fault(&good.replace("\"error\":false", "\"error\":true"), 0.0).contains("pages with bad checksums"));
    assert!(fault(&good.replace("7711376062252677906", "7711376062252677907"), 0.0).contains("of another system"));
    // What an older one does not say is no fault.
    assert_eq!(fault(&good.replace("\"error\":false,", "").replace("\"system-id\":7711376062252677906,", ""), 0.0), "");
    let no_stanza = Tool::Pgbackrest.read(said!("pgbackrest-no-stanza"), "lab").unwrap_err();
    assert_eq!(no_stanza, "it says: missing stanza path (code 1)");
    assert_eq!(Tool::Pgbackrest.read(good, "orders").unwrap_err(), "it knows no stanza orders");
    assert_eq!(Tool::Pgbackrest.read("[]", "lab").unwrap_err(), "it knows no stanza lab");
}

#[test]
fn what_barman_says_is_judged() {
    let fault = |said: &str, after: f64| fault(Tool::Barman, said, after);
    let good = said!("barman-good");
    assert_eq!(fault(good, DAY), "");
    assert!(fault(good, 2.0 * DAY).contains("20261123T143805, is 48.0 h old"));
    assert_eq!(fault(said!("barman-none"), 0.0), "there is no backup of Barman lab");
    assert!(fault(said!("barman-failed"), 0.0).contains("the backup 20261123T143839 of Barman lab failed"));
    // One that waits is not complete yet; behind it one has failed.
    let waiting = said!("barman-waiting");
    assert!(fault(waiting, 60.0).contains("20261123T143839 of Barman lab failed"));
    let alone = waiting.replace("{\"backup_id\": \"20261123T143839\", \"status\": \"FAILED\"}, ", "");
    assert_eq!(fault(&alone, 60.0), "");
    assert!(fault(&alone, 2.0 * 3600.0).contains("20261123T143909 of Barman lab is not complete"));
    let unknown = r#"{"_ERROR": ["Unknown server 'nobody'"]}"#;
    assert_eq!(Tool::Barman.read(unknown, "nobody").unwrap_err(), "it says: Unknown server 'nobody'");
}

#[test]
fn nothing_that_is_said_makes_it_panic() {
    for tool in [Tool::Pgbackrest, Tool::Barman] {
        for said in
            ["", "null", "{}", "[{}]", "[1]", "{\"lab\": [{}]}", "{\"lab\": 1}", "{\"_ERROR\": 1}", "ERROR: [055]"]
        {
            assert!(tool.read(said, "lab").is_err(), "{said}");
        }
        let good = said!("pgbackrest-good");
        (0..good.len()).for_each(|cut| drop(tool.read(&good[..cut], "lab")));
    }
}
