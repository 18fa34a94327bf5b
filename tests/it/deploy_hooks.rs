//! The hooks that ship, as far as they need no server: they can be read, and what is wrong is said before anything is run.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixture::ROOT;

pub const DIR: &str = "deploy/hooks";
/// Sent to a node's machine, or read by the others.
const PARTS: &[&str] = &["hook-lib.sh", "node.sh", "rejoin.sh"];
pub const PROBES: &[&str] = &["is-fenced", "is-standby", "is-stopped"];
pub const ACTIONS: &[&str] =
    &["fence-old-primary", "rejoin-old-primary", "restart-standby", "start-primary", "stop-primary"];

/// A directory with a file of nodes, gone at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = Self(std::env::temp_dir().join(format!("pgvigil-hooks-{name}-{}", std::process::id())));
        fs::create_dir_all(&dir.0).unwrap();
        dir
    }

    fn nodes(&self, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join("nodes.conf");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a hook in an environment of its own; returns its exit code and what it printed.
fn run(hook: &str, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(Path::new(ROOT).join(DIR).join(hook));
    command.args(arguments).env_clear().env("PATH", path).envs(environment.iter().copied());
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn each_can_be_read_and_those_that_are_run_are_programs() {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(Path::new(ROOT).join(DIR)).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if name == "README.md" {
            continue;
        }
        let output = Command::new("sh").arg("-n").arg(entry.path()).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o111 != 0, !PARTS.contains(&name.as_str()), "{name} has mode {mode:o}");
        assert_eq!(mode & 0o022, 0, "{name} can be written by others");
        names.insert(name);
    }
    let known = [PARTS, PROBES, ACTIONS].concat().into_iter().map(str::to_owned).collect();
    assert_eq!(names, known);
}

#[test]
fn what_is_wrong_with_the_file_of_nodes_is_said_and_nothing_is_run() {
    let dir = Dir::new("nodes");
    let good = "# node target data\n\na local /nowhere bindir=/x # as it is\nb db@b debian:16/main\n";
    let cases = [
        (good, 0o666, "a", "can be written by group or others"),
        (good, 0o644, "c", "no line for node c"),
        ("a local /x\na local /y\n", 0o644, "a", "has node a twice"),
        ("a local nowhere", 0o644, "a", "has no data directory"),
        ("a local /x;reboot", 0o644, "a", "data is empty or has a character other than"),
        ("a -oProxyCommand=reboot /x", 0o644, "a", "the target of node a is not plain"),
        ("a local /x password=secret", 0o644, "a", "is none that there is: bindir, passfile"),
        // The machine itself answers: so all before it was right.
        (good, 0o644, "a", "there is no data directory at the place"),
    ];
    for (text, mode, node, wanted) in cases {
        let nodes = dir.nodes(text, mode).display().to_string();
        for hook in [PROBES, ACTIONS].concat() {
            let (code, printed) = run(hook, &["--nodes", &nodes], &[("PGV_OLD_PRIMARY_NODE", node)]);
            let machine = wanted.starts_with("there is no data");
            let code_wanted = if machine || PROBES.contains(&hook) { 30 } else { 2 };
            assert_eq!(code, Some(code_wanted), "{hook}, {text:?}: {printed}");
            let last: serde_json::Value = serde_json::from_str(printed.lines().last().unwrap_or_default()).unwrap();
            assert!(last["message"].as_str().unwrap().contains(wanted), "{hook}, {text:?}: {printed}");
        }
    }
}

#[test]
fn no_value_that_a_shell_could_read_gets_anywhere() {
    let dir = Dir::new("values");
    let nodes = dir.nodes("a db@a /x\n", 0o644).display().to_string();
    let ssh = dir.0.join("ssh");
    fs::write(&ssh, "#!/bin/sh\ntouch \"${0%/*}/run\"\n").unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", dir.0.display(), std::env::var("PATH").unwrap_or_default());
    let hostile = ["a;touch x", "$(touch x)", "`touch x`", "a b", "a'b", "a\"b", "a\nb", "-oProxyCommand=x", "*", "~"];
    for value in hostile {
        for name in ["PGV_OLD_PRIMARY_NODE", "PGV_CANDIDATE_HOST", "PGV_CANDIDATE_PORT"] {
            let mut environment = vec![
                ("PGV_OLD_PRIMARY_NODE", "a"),
                ("PGV_CANDIDATE_HOST", "h"),
                ("PGV_CANDIDATE_PORT", "1"),
                ("PATH", path.as_str()),
            ];
            environment.push((name, value));
            let (code, printed) = run("is-fenced", &["--nodes", &nodes], &environment);
            assert_eq!(code, Some(30), "{name}={value:?}: {printed}");
            assert!(printed.contains("plain") || printed.contains("a character other than"), "{value:?}: {printed}");
        }
    }
    assert!(!dir.0.join("run").exists(), "ssh was run");
    // The same without them gets there.
    run("is-fenced", &["--nodes", &nodes], &[("PGV_OLD_PRIMARY_NODE", "a"), ("PATH", &path)]);
    assert!(dir.0.join("run").exists(), "ssh was not run");
}

#[test]
fn a_node_that_ssh_does_not_reach_is_unknown() {
    let dir = Dir::new("ssh");
    let nodes = dir.nodes("a db@a /x\n", 0o644).display().to_string();
    let ssh = dir.0.join("ssh");
    let path = format!("{}:{}", dir.0.display(), std::env::var("PATH").unwrap_or_default());
    for (script, wanted) in [("exit 255", 30), ("exit 127", 30), ("exit 1", 30), ("cat >/dev/null; exit 10", 10)] {
        fs::write(&ssh, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
        for hook in PROBES {
            let (code, printed) = run(hook, &["--nodes", &nodes, "--node", "a"], &[("PATH", &path)]);
            assert_eq!(code, Some(wanted), "{hook}, {script}: {printed}");
        }
    }
}
