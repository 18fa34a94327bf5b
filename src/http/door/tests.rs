use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Instant;

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

/// The writing end of the pipe at `path`, once somebody reads it.
fn once_read(path: &Path) -> fs::File {
    let began = Instant::now();
    loop {
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        match fs::OpenOptions::new().write(true).custom_flags(nonblocking).open(path) {
            Ok(pipe) => return pipe,
            Err(error) => {
                assert!(began.elapsed() < Duration::from_secs(20), "nobody reads {}: {error}", path.display())
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_config_that_comes_while_files_are_read_counts_and_they_do_not() {
    for late in ["another-token-0123456789", "short"] {
        let house = House::new("race");
        let settings = house.settings("access: [{name: ops, role: admin, token_file: ops}]");
        let door = Arc::new(Door::open(&settings).unwrap());
        let is_known = |token: &str| door.rules().tokens.owner(token).is_some();
        // The watcher is held in the middle of its reading, as by a slow disk.
        let ops = house.0.join("ops");
        fs::remove_file(&ops).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &ops, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let looking = std::thread::spawn({
            let door = door.clone();
            move || {
                let first = door.look(&Seen::default());
                door.look(&first)
            }
        });
        let mut pipe = once_read(&ops);
        let other = house.settings("access: [{name: dev, role: viewer, token_file: dev}]");
        door.take_in(door.prepare(&other).unwrap());
        pipe.write_all(late.as_bytes()).unwrap();
        drop(pipe);
        looking.join().unwrap();
        assert!(is_known("dev-token-0123456789") && !is_known(late) && !door.rules().open, "{late}");
        // The files that are watched are those of the new config.
        fs::write(house.0.join("dev"), "rotated-token-0123456789").unwrap();
        settle(&door);
        assert!(is_known("rotated-token-0123456789") && !is_known("dev-token-0123456789"), "{late}");
    }
}
