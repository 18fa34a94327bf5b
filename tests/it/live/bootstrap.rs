//! `scripts/bootstrap` where all is there: quick, silent, offline, and without a trace on the machine.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use pgvigil::lab::{Lab, LabError};

/// Ports that other tests may open and close at the same moment: the lab's own and the ephemeral ones.
const PASSING: std::ops::RangeFrom<u16> = 16_000..;

fn listening() -> BTreeSet<u16> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let listening = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // 0A is LISTEN; the local address is hexadecimal, address:port.
        (fields.get(3) == Some(&"0A")).then(|| u16::from_str_radix(fields[1].rsplit(':').next()?, 16).ok())?
    };
    let ports = tables.iter().flat_map(|table| table.lines().filter_map(listening));
    ports.filter(|port| !PASSING.contains(port)).collect()
}

fn clusters() -> String {
    let output = Command::new("pg_lsclusters").arg("--no-header").output();
    output.map_or_else(|_| "no pg_lsclusters".to_owned(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn bootstrap(what: &[&str], path: Option<&Path>) -> std::io::Result<Output> {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/bootstrap"));
    command.args(what).stdin(std::process::Stdio::null());
    if let Some(first) = path {
        let rest = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{rest}", first.display()));
    }
    command.output()
}

#[test]
fn leaves_the_machine_alone_where_all_is_there() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let shims = lab.own_dir("shims")?;
    for name in ["apt-get", "apt-cache", "sudo", "curl", "npm", "rustup"] {
        let shim = shims.join(name);
        std::fs::write(&shim, format!("#!/bin/sh\necho called {name} \"$@\" >&2\nexit 1\n")).unwrap();
        std::fs::set_permissions(&shim, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let before = (clusters(), listening());
    let all = ["rust", "build", "postgresql", "prometheus", "alertmanager", "etcd", "patroni", "haproxy"];
    // The quickest of a few: other tests have the processors too.
    let mut took = Duration::MAX;
    for _ in 0..3 {
        let started = Instant::now();
        let output = bootstrap(&all, Some(&shims)).unwrap();
        took = took.min(started.elapsed());
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && printed.is_empty(), "{printed}");
    }
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    assert_eq!((clusters(), listening()), before);
    assert!(!Path::new("/usr/sbin/policy-rc.d.before-pgvigil").exists());
    Ok(())
}

#[test]
fn names_what_it_does_not_know() {
    let output = bootstrap(&["mysql"], None).unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && printed.contains("'mysql' is none of: rust"), "{printed}");
}

#[test]
fn pins_every_version_with_its_integrity() {
    let pins = include_str!("../../../scripts/postgresql-versions");
    let pins: Vec<Vec<&str>> =
        pins.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect()).collect();
    assert_eq!(pins.iter().map(|pin| pin[0]).collect::<Vec<_>>(), ["13", "14", "15", "16", "17", "18"]);
    for pin in &pins {
        assert!(pin[1].starts_with(&format!("{}.", pin[0])), "{pin:?}");
        // 64 bytes in base64.
        assert!(pin[2].starts_with("sha512-") && pin[2].len() == "sha512-".len() + 88, "{pin:?}");
    }
    let output = bootstrap(&["where"], None).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), pins.len());
}
