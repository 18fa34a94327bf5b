use std::fs;

use super::*;
use crate::http::access::House;

const WEB: &str = "rate_limit: {interval: 1s, burst: 2}\n";

fn burst(door: &Door) -> Option<u32> {
    door.rules().web.rate.map(|rate| rate.burst)
}

/// Looks until nothing changes any more.
fn settle(door: &Door) {
    let mut seen = Seen::default();
    for _ in 0..4 {
        seen = door.look(&seen);
    }
}

#[test]
fn what_changes_is_read_anew_and_what_is_bad_changes_nothing() {
    let house = House::new("keep");
    let web = house.0.join("web.yml");
    fs::write(&web, WEB).unwrap();
    let settings = house.settings("web_config: web.yml\naccess: [{name: ops, role: admin, token_file: ops}]");
    let door = Door::open(&settings).unwrap();
    let whose = |token: &str| door.rules().tokens.owner(token).map(|caller| caller.name.to_string());
    assert_eq!((burst(&door), whose("ops-token-0123456789").as_deref()), (Some(2), Some("ops")));

    fs::write(&web, WEB.replace('2', "33")).unwrap();
    let first = door.look(&Seen::default());
    assert_eq!(burst(&door), Some(2), "seen once");
    door.look(&first);
    assert_eq!(burst(&door), Some(33));

    // Replaced, as an editor or Kubernetes does it.
    fs::write(house.0.join("ops.new"), "another-token-0123456789").unwrap();
    fs::rename(house.0.join("ops.new"), house.0.join("ops")).unwrap();
    settle(&door);
    assert_eq!(whose("ops-token-0123456789"), None);
    assert_eq!(whose("another-token-0123456789").as_deref(), Some("ops"));

    for bad in ["rate_limit: {interval: 1s, burst: 0}", "rate_limits: {}", "\u{0}", "basic_auth_users: {a: b}"] {
        fs::write(&web, bad).unwrap();
        settle(&door);
        assert_eq!(burst(&door), Some(33), "{bad}");
    }
    // A new file that another one names and that is not there yet.
    fs::write(&web, "rate_limit: {interval: 1s, burst: 4}\ntls_server_config: {cert_file: c, key_file: k}").unwrap();
    settle(&door);
    assert_eq!(burst(&door), Some(33));
    fs::write(house.0.join("ops"), "short").unwrap();
    fs::write(&web, WEB.replace('2', "55")).unwrap();
    settle(&door);
    assert_eq!(burst(&door), Some(33), "whole or not at all");
    fs::write(house.0.join("ops"), "third-token-0123456789").unwrap();
    settle(&door);
    assert_eq!((burst(&door), whose("third-token-0123456789").as_deref()), (Some(55), Some("ops")));
}

#[test]
fn other_settings_come_whole_or_not_at_all() {
    let house = House::new("change");
    let door = Door::open(&house.settings("")).unwrap();
    assert!(door.rules().open);
    let prepared = door.prepare(&house.settings("access: [{name: dev, role: viewer, token_file: dev}]")).unwrap();
    assert!(door.rules().open, "prepared is not in force");
    door.take_in(prepared);
    assert!(!door.rules().open);
    let bad = house.settings("access: [{name: dev, role: viewer, token_file: nowhere}]");
    let error = door.prepare(&bad).err().unwrap().to_string();
    assert!(error.starts_with("access of dev: token_file ") && error.ends_with("nowhere does not exist"), "{error}");
    assert!(!door.rules().open && door.rules().tokens.owner("dev-token-0123456789").is_some());

    // What could not be taken in hides no change of the files that are in force.
    fs::write(house.0.join("dev"), "rotated-token-0123456789").unwrap();
    assert!(door.prepare(&bad).is_err());
    settle(&door);
    assert!(door.rules().tokens.owner("rotated-token-0123456789").is_some());
}

#[test]
fn what_is_not_well_is_noted() {
    let house = House::new("notes");
    let notes = |more: &str| {
        let settings = house.settings(more);
        Door::open(&settings).unwrap().notes(&settings).join("; ").replace(&format!("{}/", house.0.display()), "")
    };
    let token = "access: [{name: ops, role: admin, token_file: ops}]";
    fs::set_permissions(house.0.join("ops"), std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    assert_eq!(notes(""), "");
    assert_eq!(notes("listen: 0.0.0.0:0"), "");
    assert_eq!(notes(token), "");
    let clear = "passwords and tokens travel to 0.0.0.0:0 in clear: set tls_server_config in a web_config";
    assert_eq!(notes(&format!("listen: 0.0.0.0:0\n{token}")), clear);
    fs::set_permissions(house.0.join("ops"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(notes(token), "ops can be read by everybody: chmod it to 0640 or less");
}
