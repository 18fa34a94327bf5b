//! Hooks, as real programs in a directory of the test's own. What is claimed of them is looked up in /proc and on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pgvigil::lab::{ProcessId, wait_until};
use pgvigil::runbook::step::hook::{
    Answer, Brief, ClusterBrief, HookError, Kind, Place, Ran, check, forget, run, still_running, stop,
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fixture::ROOT;

/// Long enough for any hook here that is to end by itself.
const LONG: Duration = Duration::from_secs(60);
/// Names the directory to an engine that a test starts.
const ENGINE: &str = "LAB_HOOK_ENGINE";

/// A directory that only we may write, with hooks in it.
struct House(PathBuf);

impl House {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pgvigil-hooks-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        Self(fs::canonicalize(path).unwrap())
    }

    /// Writes a script. Another process does it: a file that we write cannot be executed while any fork of ours has it open.
    fn script(&self, name: &str, text: &str) -> Vec<String> {
        let path = self.0.join(name);
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "umask 022; cat >\"$0\"; chmod 0755 \"$0\""]).arg(&path).stdin(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let text = if text.starts_with("#!") { text.to_owned() } else { format!("#!/bin/sh\n{text}\n") };
        shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
        vec![path.to_str().unwrap().to_owned()]
    }

    fn dir(&self) -> PathBuf {
        self.0.join("state/hooks/r1/1-action-1")
    }

    /// What a hook left in its directory.
    fn left(&self, name: &str) -> String {
        fs::read_to_string(self.dir().join(name)).unwrap()
    }

    /// Runs a script in a directory of its own.
    async fn runs(&self, name: &str, text: &str, timeout: Duration) -> Ran {
        run(&self.script(name, text), &brief(), timeout, &self.0.join("runs").join(name)).await.unwrap()
    }

    /// The process whose pid a hook wrote to this file, as soon as it did.
    async fn process(&self, file: &Path) -> ProcessId {
        let look = async || {
            let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
            let pid = text.strip_suffix('\n').ok_or("half a line")?.parse().map_err(|_| text.clone())?;
            ProcessId::of(pid).ok_or(format!("no process {pid}"))
        };
        wait_until("a hook to say its pid", LONG, look).await.unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Ends a process that a test left behind on purpose.
struct Leftover(ProcessId);

impl Drop for Leftover {
    fn drop(&mut self) {
        let _ = self.0.signal(Signal::KILL);
    }
}

fn brief() -> Brief {
    let place = |node: &str, host: &str| Place { node: node.into(), host: host.into(), port: 5432, data_dir: None };
    let data_dir = Some("/var/lib/postgresql/17/main".into());
    Brief {
        run: "20261123T040000Z-1".into(),
        episode: "orders/7429883157512346573/3/a".into(),
        runbook: "PostgresPrimaryUnreachable".into(),
        step: 3,
        name: "repoint-clients".into(),
        kind: Kind::Action,
        attempt: 1,
        mode: "automatic",
        dry_run: false,
        fencing_token: Some(4711),
        idempotency_key: "20261123T040000Z-1/3".into(),
        cluster: ClusterBrief {
            name: "orders".into(),
            system_identifier: Some(7_429_883_157_512_346_573),
            timeline: Some(3),
        },
        old_primary: Some(Place { data_dir, ..place("a", "10.0.0.1") }),
        candidate: Some(place("b", "10.0.0.2")),
        standbys: vec![place("c", "10.0.0.3")],
        data: json!({"shutdown_checkpoint_lsn": "0/3000148"}),
    }
}

/// Whether a reason was given, and this one.
fn unknown(answer: &Answer, why: &str) {
    assert!(matches!(answer, Answer::Unknown(reason) if reason.contains(why)), "{answer:?}");
}

async fn gone(id: ProcessId) {
    let look = async || if id.alive() { Err(id.title()) } else { Ok(()) };
    wait_until(format!("{} to be gone", id.pid), LONG, look).await.unwrap();
}

#[tokio::test]
async fn each_exit_is_answered_as_the_contract_says() {
    let house = House::new("exits");
    for (code, answer) in [
        (0, Answer::Done),
        (10, Answer::No),
        (11, Answer::AlreadyDone),
        (20, Answer::Retry),
        (1, Answer::Failed(1)),
        (123, Answer::Failed(123)),
    ] {
        let ran = house.runs(&format!("exit-{code}"), &format!("exit {code}"), LONG).await;
        assert_eq!(ran.answer, answer, "exit {code}");
        assert!(ran.pid.is_some() && ran.message.is_none() && ran.data.is_none(), "{ran:?}");
    }
    for (name, text, why) in [
        ("asked", "exit 30", "exit 30"),
        ("ssh", "exit 255", "exit 255"),
        ("no-command", "/no/such/program", "exit 127"),
        ("killed", "kill -9 $$", "signal 9"),
        ("contradicts", "echo '{\"status\": \"no\"}'", "\"no\""),
    ] {
        unknown(&house.runs(name, text, LONG).await.answer, why);
    }
}

#[tokio::test]
async fn a_hook_is_told_everything_and_gets_nothing_of_our_environment() {
    let house = House::new("told");
    let keep =
        "cat >told; env >env; pwd >where; cut -d' ' -f5 /proc/$$/stat >group; echo $$ >own; ls -l /proc/$$/fd >open";
    let mut argv = house.script("hook", &format!("{keep}\nprintf '%s|' \"$@\" >arguments"));
    argv.extend(["a b", "$(touch touched)", "; exit 20", ""].map(str::to_owned));
    let dir = house.dir();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ran = run(&argv, &brief(), LONG, &dir).await.unwrap();
    assert_eq!(ran.answer, Answer::Done, "{ran:?}");
    assert_eq!(house.left("arguments"), "a b|$(touch touched)|; exit 20||", "no shell");
    assert!(!dir.join("touched").exists());

    let mut told: Value = serde_json::from_str(&house.left("told")).unwrap();
    let deadline = told["deadline"].take().as_i64().unwrap();
    assert_eq!(told, paper()["told"]);
    let now = jiff::Timestamp::now().as_second();
    assert!((now + 30..=now + 60).contains(&deadline), "{deadline} at {now}");

    let lines = house.left("env");
    let mut variables: BTreeMap<&str, &str> = lines.lines().map(|line| line.split_once('=').unwrap()).collect();
    // These the shell sets itself.
    for own in ["PWD", "OLDPWD", "SHLVL", "_"] {
        variables.remove(own);
    }
    assert_eq!(variables.remove("PGV_DEADLINE"), Some(deadline.to_string().as_str()));
    assert_eq!(variables.remove("HOME").map(str::to_owned), std::env::var("HOME").ok());
    let shown = paper()["environment"].as_str().unwrap().to_owned();
    let shown: BTreeMap<&str, &str> = shown.lines().map(|line| line.split_once('=').unwrap()).collect();
    // The names first: what leaks is not to be printed.
    assert_eq!(variables.keys().collect::<Vec<_>>(), shown.keys().collect::<Vec<_>>());
    assert_eq!(variables, shown);

    assert_eq!(Path::new(house.left("where").trim()), dir);
    let pid = ran.pid.unwrap().to_string();
    assert_eq!((house.left("own").trim(), house.left("group").trim()), (pid.as_str(), pid.as_str()));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for private in ["", "..", "../.."] {
        assert_eq!(mode(&dir.join(private)), 0o700, "{private}");
    }
    for private in ["stdin", "stdout", "stderr", "pid"] {
        assert_eq!(mode(&dir.join(private)), 0o600, "{private}");
    }
    let open = house.left("open");
    let ours = fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
    assert!(open.contains("/stdin\n") && !open.contains(ours.to_str().unwrap()), "{ours:?}: {open}");
}

#[tokio::test]
async fn the_last_line_is_read_and_anything_else_is_tolerated() {
    let house = House::new("said");
    let line = r#"{"status": "ok", "message": "stopped", "data": {"lsn": "0/3000148"}}"#;
    let ran = house.runs("json", &format!("echo working; echo note >&2; echo '{line}'; echo"), LONG).await;
    assert_eq!((&ran.answer, ran.message.as_deref()), (&Answer::Done, Some("stopped")));
    assert_eq!(ran.data, Some(json!({"lsn": "0/3000148"})));
    assert_eq!(
        (ran.stdout_tail.as_str(), ran.stderr_tail.as_str()),
        (format!("working\n{line}\n\n").as_str(), "note\n")
    );

    let ran = house.runs("broken", "printf '{\"message\": \"cut'", LONG).await;
    assert_eq!((&ran.answer, &ran.message, &ran.data), (&Answer::Done, &None, &None));
    let ran = house.runs("no-text", "printf '\\377\\376'; exit 10", LONG).await;
    assert_eq!((ran.answer, ran.stdout_tail), (Answer::No, "\u{fffd}\u{fffd}".into()));

    // A last line of more than 64 KiB is cut and says nothing; one behind much else is read.
    let long = "printf '{\"message\": \"'; head -c 70000 /dev/zero | tr '\\0' x; echo '\"}'";
    let ran = house.runs("long", long, LONG).await;
    assert_eq!((&ran.answer, &ran.message, ran.stdout_tail.len()), (&Answer::Done, &None, 64 << 10));
    let behind =
        "for at in 1 2; do head -c 300000 /dev/zero | tr '\\0' x >&$at; echo >&$at; done; echo '{\"message\": \"m\"}'";
    let ran = house.runs("behind", behind, LONG).await;
    assert_eq!(
        (ran.message.as_deref(), ran.stdout_tail.len(), ran.stderr_tail.len()),
        (Some("m"), 64 << 10, 256 << 10)
    );
}

#[tokio::test]
async fn what_does_not_end_in_time_is_killed_with_all_its_group() {
    let house = House::new("late");
    let second = Duration::from_secs(1);
    // One ends when it is asked to, one does not, and one does while a child of its does not.
    let ((polite, fast), (stubborn, slow), (divided, slow_too)) = tokio::join!(
        timed(house.runs("polite", "echo $$ >own; echo begun; sleep 600", second)),
        timed(house.runs("stubborn", "trap '' TERM; echo $$ >own; sleep 600; sleep 600", second)),
        timed(house.runs(
            "divided",
            "(trap '' TERM; sh -c 'echo $PPID' >child; sleep 600; sleep 600) & sleep 600",
            second
        )),
    );
    for ran in [&polite, &stubborn, &divided] {
        unknown(&ran.answer, "after 1 s and was killed");
    }
    assert_eq!(polite.stdout_tail, "begun\n");
    let seconds = |from, to| Duration::from_secs(from)..Duration::from_secs(to);
    assert!(seconds(1, 5).contains(&fast), "{fast:?}");
    assert!(seconds(6, 12).contains(&slow) && seconds(6, 12).contains(&slow_too), "{slow:?} {slow_too:?}");
    assert!(stubborn.took >= Duration::from_secs(6), "{:?}", stubborn.took);
    for file in ["polite/own", "stubborn/own", "divided/child"] {
        let pid: i32 = fs::read_to_string(house.0.join("runs").join(file)).unwrap().trim().parse().unwrap();
        assert_eq!(ProcessId::of(pid), None, "{file}");
    }
    let polite = polite.pid.and_then(|pid| i32::try_from(pid).ok()).unwrap();
    assert!(!Path::new(&format!("/proc/{polite}")).exists(), "not waited for");
}

async fn timed(what: impl Future<Output = Ran>) -> (Ran, Duration) {
    let began = Instant::now();
    (what.await, began.elapsed())
}

#[tokio::test]
async fn a_flood_ends_the_hook_and_leaves_little() {
    let house = House::new("flood");
    for (name, text) in [
        ("stdout", "yes"),
        ("stderr", "yes >&2 & yes >&2"),
        ("ends", "head -c 1000000 /dev/zero; head -c 100000 /dev/zero >&2; echo '{\"status\": \"ok\"}'"),
    ] {
        let ran = house.runs(name, text, LONG).await;
        unknown(&ran.answer, "floods");
        assert!(ran.took < LONG / 2, "{:?}", ran.took);
        assert!(ran.stdout_tail.len() <= 64 << 10 && ran.stderr_tail.len() <= 256 << 10);
        for file in ["stdout", "stderr"] {
            let file = house.0.join("runs").join(name).join(file);
            let look = async || match fs::metadata(&file).unwrap().len() {
                small @ 0..=1_048_576 => Ok(small),
                large => Err(large.to_string()),
            };
            wait_until(format!("{} to be small", file.display()), LONG, look).await.unwrap();
        }
    }
    let most = house.runs("most", "head -c 1000000 /dev/zero; head -c 48576 /dev/zero >&2", LONG).await;
    assert_eq!(most.answer, Answer::Done);
}

#[tokio::test]
async fn a_child_that_keeps_the_files_open_holds_nobody_up() {
    let house = House::new("leaves");
    let dir = house.0.join("runs/leaves");
    let ran = house.runs("leaves", "sleep 600 & echo $! >child; echo '{\"message\": \"left one\"}'", LONG).await;
    let child = Leftover(house.process(&dir.join("child")).await);
    assert_eq!((ran.answer, ran.message.as_deref()), (Answer::Done, Some("left one")));
    assert!(ran.took < LONG / 2, "{:?}", ran.took);
    assert!(child.0.alive(), "what a hook starts may stay");
    assert_eq!(still_running(&dir), None, "the child is not the hook");
}

#[tokio::test]
async fn what_hooks_left_goes_with_the_memory_of_their_run() {
    let house = House::new("kept");
    let hooks = house.0.join("state/hooks");
    assert_eq!(forget(&hooks, &BTreeSet::new()).unwrap(), 0, "there is none yet");
    let ends = house.script("ends", "echo done");
    for run_id in ["r1", "r2"] {
        run(&ends, &brief(), LONG, &hooks.join(run_id).join("1-action-1")).await.unwrap();
    }
    let goes_on = house.script("goes-on", "exec sleep 600");
    let (dir, program) = (hooks.join("r3/1-action-1"), brief());
    let _ = tokio::time::timeout(Duration::from_millis(1), run(&goes_on, &program, LONG, &dir)).await;
    let pid = wait_until("the hook", LONG, async || still_running(&dir).ok_or_else(String::new)).await.unwrap();
    let _guard = Leftover(ProcessId::of(i32::try_from(pid).unwrap()).unwrap());
    assert_eq!(forget(&hooks, &["r2".to_owned()].into()).unwrap(), 1);
    let left = |run: &str| hooks.join(run).exists();
    assert_eq!((left("r1"), left("r2"), left("r3")), (false, true, true));
}

#[tokio::test]
async fn what_others_may_change_and_what_is_no_program_is_refused() {
    let house = House::new("refused");
    let good = house.script("good", "exit 0");
    check(&good).unwrap();
    let refused = async |argv: &[String], what: &str| {
        let dir = house.0.join("never");
        for error in [check(argv).unwrap_err(), run(argv, &brief(), LONG, &dir).await.unwrap_err()] {
            assert!(error.to_string().contains(what), "{error}");
        }
        assert!(!dir.exists(), "{what}: something was begun");
    };
    let own = |path: &str| vec![house.0.join(path).to_str().unwrap().to_owned()];
    refused(&[], "argv is empty").await;
    refused(&["good".to_owned()], "must begin with /").await;
    refused(&own("missing"), "does not exist").await;
    refused(&own("good/under"), "does not exist").await;
    refused(&[house.0.to_str().unwrap().to_owned()], "not a regular file").await;
    fs::write(house.0.join("plain"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(house.0.join("plain"), Permissions::from_mode(0o644)).unwrap();
    refused(&own("plain"), "may not be executed").await;
    for mode in [0o775, 0o757] {
        let writable = house.script("writable", "exit 0");
        fs::set_permissions(&writable[0], Permissions::from_mode(mode)).unwrap();
        refused(&writable, &format!("(mode 0{mode:o})")).await;
    }
    // A directory that others may write, and links across its border.
    let open = house.0.join("open");
    fs::create_dir(&open).unwrap();
    house.script("open/inside", "exit 0");
    fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
    symlink(&good[0], open.join("link")).unwrap();
    symlink(open.join("inside"), house.0.join("link-to-open")).unwrap();
    for path in ["open/inside", "open/link", "link-to-open"] {
        refused(&own(path), "(mode 1777)").await;
    }
    symlink(&good[0], house.0.join("link")).unwrap();
    check(&own("link")).unwrap();
    // Whether the interpreter is there, only the system says.
    let argv = house.script("interpreter", "#!/no/such/sh\n");
    check(&argv).unwrap();
    let dir = house.0.join("runs/interpreter");
    let error = run(&argv, &brief(), LONG, &dir).await.unwrap_err();
    assert!(matches!(error, HookError::Spawn { .. }), "{error}");
    assert!(!dir.exists(), "it looks as if it had begun");
}

#[tokio::test]
async fn an_attempt_is_begun_once_and_a_probe_asked_again() {
    let house = House::new("once");
    let argv = house.script("hook", "echo x >>times; echo \"$PGV_KIND\"");
    for kind in [Kind::Action, Kind::Compensate] {
        let brief = Brief { kind, ..brief() };
        let dir = house.0.join(format!("runs/{kind:?}"));
        assert_eq!(run(&argv, &brief, LONG, &dir).await.unwrap().answer, Answer::Done);
        let error = run(&argv, &brief, LONG, &dir).await.unwrap_err();
        assert!(matches!(error, HookError::Begun(_)), "{error}");
        assert_eq!(fs::read_to_string(dir.join("times")).unwrap(), "x\n");
    }
    let brief = Brief { kind: Kind::Probe, ..brief() };
    let dir = house.0.join("runs/probe");
    let mut pids = Vec::new();
    for times in ["x\n", "x\nx\n", "x\nx\nx\n"] {
        let ran = run(&argv, &brief, LONG, &dir).await.unwrap();
        assert_eq!((ran.answer, ran.stdout_tail.as_str()), (Answer::Done, "probe\n"));
        assert_eq!(fs::read_to_string(dir.join("times")).unwrap(), times);
        let recorded = fs::read_to_string(dir.join("pid")).unwrap();
        assert_eq!(recorded.split(' ').next(), Some(ran.pid.unwrap().to_string().as_str()));
        pids.push(ran.pid);
    }
    pids.dedup();
    assert_eq!(pids.len(), 3);
}

/// A hook that goes on until it finds a file, and says so at its end.
const UNTIL_TOLD: &str = "echo $$ >own\nwhile [ ! -e go ]; do sleep 0.02; done\necho finished >end";

#[test]
fn a_hook_outlives_the_runtime_that_began_it() {
    // Often, because the runtime may end while it is begun.
    for round in 0..10 {
        let house = House::new(&format!("outlives-{round}"));
        let (dir, argv) = (house.dir(), house.script("hook", UNTIL_TOLD));
        let engine = tokio::runtime::Runtime::new().unwrap();
        let begun = dir.clone();
        engine.spawn(async move { run(&argv, &brief(), LONG, &begun).await });
        let hook = engine.block_on(house.process(&dir.join("own")));
        drop(engine);
        let after = tokio::runtime::Runtime::new().unwrap();
        after.block_on(goes_on(&house, hook));
    }
}

#[test]
fn a_hook_outlives_an_engine_that_is_killed() {
    let house = House::new("killed");
    house.script("hook", UNTIL_TOLD);
    let mut engine = Command::new(std::env::current_exe().unwrap());
    engine.args(["--exact", "hook_runner::an_engine_that_another_test_kills"]).env(ENGINE, &house.0);
    let mut engine = engine.stdout(Stdio::null()).spawn().unwrap();
    let after = tokio::runtime::Runtime::new().unwrap();
    let hook = after.block_on(house.process(&house.dir().join("own")));
    engine.kill().unwrap();
    engine.wait().unwrap();
    after.block_on(goes_on(&house, hook));
}

/// Does nothing unless another test runs it in a process of its own.
#[test]
fn an_engine_that_another_test_kills() {
    let Some(house) = std::env::var_os(ENGINE).map(PathBuf::from) else { return };
    let argv = [house.join("hook").to_str().unwrap().to_owned()];
    let engine = tokio::runtime::Runtime::new().unwrap();
    let ran = engine.block_on(run(&argv, &brief(), LONG, &house.join("state/hooks/r1/1-action-1")));
    panic!("it was to be killed before: {ran:?}");
}

/// The hook in the house's directory runs although nobody waits for it, and ends when it is told to.
async fn goes_on(house: &House, hook: ProcessId) {
    let (dir, _guard) = (house.dir(), Leftover(hook));
    assert!(hook.alive());
    assert_eq!(still_running(&dir).map(i64::from), Some(hook.pid.into()));
    // Killed before it could write down the pid, or in the middle of it.
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let recorded = format!("{} {} {boot}", hook.pid, hook.started);
    // The engine may have been killed before it had written all of it.
    let written = fs::read_to_string(dir.join("pid")).unwrap_or_default();
    assert!(recorded.starts_with(&written), "{written:?} and not {recorded:?}");
    for half in [None, Some(""), Some("12")] {
        fs::remove_file(dir.join("pid")).unwrap_or_default();
        if let Some(half) = half {
            fs::write(dir.join("pid"), half).unwrap();
        }
        assert_eq!(still_running(&dir).map(i64::from), Some(hook.pid.into()), "{half:?}");
    }
    // The same pid, begun at another time or in another boot, is another process.
    let words: Vec<_> = recorded.split_whitespace().collect();
    for other in [format!("{} 7 {}\n", words[0], words[2]), format!("{} {} another-boot\n", words[0], words[1])] {
        fs::write(dir.join("pid"), other).unwrap();
        assert_eq!(still_running(&dir), None);
    }
    fs::write(dir.join("pid"), recorded).unwrap();
    assert!(!dir.join("end").exists());
    fs::write(dir.join("go"), "").unwrap();
    gone(hook).await;
    assert_eq!(house.left("end"), "finished\n");
    assert_eq!(still_running(&dir), None);
    fs::remove_file(dir.join("pid")).unwrap();
    assert_eq!(still_running(&dir), None);
    assert_eq!(still_running(&dir.join("never")), None);
}

#[test]
fn a_hook_that_was_left_can_be_stopped() {
    let house = House::new("stopped");
    let (dir, argv) = (house.dir(), house.script("hook", "sleep 600 & echo $! >child; echo $$ >own; sleep 600"));
    let engine = tokio::runtime::Runtime::new().unwrap();
    let begun = dir.clone();
    engine.spawn(async move { run(&argv, &brief(), LONG, &begun).await });
    let hook = engine.block_on(house.process(&dir.join("own")));
    drop(engine);
    let after = tokio::runtime::Runtime::new().unwrap();
    let child = after.block_on(house.process(&dir.join("child")));
    let began = Instant::now();
    assert!(after.block_on(stop(&dir)));
    assert!(began.elapsed() < Duration::from_secs(4), "it ends when asked to: {:?}", began.elapsed());
    assert!(!hook.alive() && !child.alive());
    assert!(after.block_on(stop(&dir)), "there is nothing to stop");
}

/// What docs/hooks.md shows: the JSON without its deadline, the variables without PGV_DEADLINE and HOME, and the hook.
fn paper() -> Value {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/hooks.md")).unwrap();
    let block = |kind: &str| {
        let (_, rest) = text.split_once(&format!("```{kind}\n")).unwrap_or_else(|| panic!("no block of {kind}"));
        rest.split_once("```").unwrap().0.to_owned()
    };
    let mut told: Value = serde_json::from_str(&block("json")).unwrap();
    assert!(told["deadline"].take().is_i64());
    let kept = |line: &&str| !line.starts_with("PGV_DEADLINE=") && !line.starts_with("HOME=");
    let environment = block("text");
    let environment: Vec<_> = environment.lines().filter(kept).collect();
    json!({"told": told, "environment": environment.join("\n"), "hook": block("sh")})
}

#[tokio::test]
async fn the_hook_of_the_page_does_what_the_page_says() {
    let house = House::new("page");
    let mut argv = house.script("point-clients", paper()["hook"].as_str().unwrap());
    let target = house.0.join("primary");
    argv.push(target.to_str().unwrap().to_owned());
    let first = run(&argv, &brief(), LONG, &house.0.join("runs/1")).await.unwrap();
    assert_eq!(first.answer, Answer::Done, "{first:?}");
    assert_eq!(fs::read_to_string(&target).unwrap(), "10.0.0.2:5432\n");
    let page = fs::read_to_string(Path::new(ROOT).join("docs/hooks.md")).unwrap();
    assert!(page.contains(first.stdout_tail.trim()), "{}", first.stdout_tail);
    assert_eq!(first.data, Some(json!({"clients": "10.0.0.2:5432"})));
    let second = run(&argv, &brief(), LONG, &house.0.join("runs/2")).await.unwrap();
    assert_eq!(second.answer, Answer::AlreadyDone, "{second:?}");
    let lost = Brief { candidate: None, ..brief() };
    let third = run(&argv, &lost, LONG, &house.0.join("runs/3")).await.unwrap();
    assert_eq!((third.answer, third.stderr_tail.as_str()), (Answer::No, "no candidate\n"));
}
