//! The command line from a person's side: help, completions, manual pages, the version, and colour.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::fixture::ROOT;

const PGVIGIL: &str = env!("CARGO_BIN_EXE_pgvigil");

/// A directory of its own, gone at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pgvigil-cli-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(output: Output) -> String {
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

fn pgvigil(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(PGVIGIL).args(arguments).env_remove("NO_COLOR").output().unwrap();
    (output.status.code(), text(output))
}

/// Whether a program is on this machine.
fn is_here(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8").output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", text(output));
    text(output)
}

#[test]
fn shells_take_their_completions_and_bash_completes() {
    let dir = Dir::new("completions");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script) = pgvigil(&["completions", shell]);
        assert_eq!(code, Some(0), "{shell}: {script}");
        let path = dir.0.join(shell);
        fs::write(&path, script).unwrap();
        if ["bash", "zsh", "fish"].contains(&shell) && is_here(shell) {
            assert_eq!(run(shell, &["-n", path.to_str().unwrap()]), "", "{shell}");
        }
    }
    let complete = |words: &str| {
        let typed: Vec<&str> = words.split(' ').collect();
        let script = format!(
            "source {}/bash; COMP_WORDS=({words}{}); COMP_CWORD={}; _pgvigil pgvigil '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            dir.0.display(),
            if words.ends_with(' ') { "''" } else { "" },
            typed.len() - 1,
            typed[typed.len() - 1],
            typed[typed.len() - 2],
        );
        run("bash", &["-c", &script]).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("pgvigil run"), ["runbook"]);
    assert_eq!(complete("pgvigil runbook ap"), ["approve"]);
    assert_eq!(complete("pgvigil status --wa"), ["--watch"]);
    assert!(complete("pgvigil demo fault ").contains(&"kill-primary".to_owned()));
}

#[test]
fn every_command_has_a_manual_page_that_can_be_read() {
    let dir = Dir::new("man");
    let (code, said) = pgvigil(&["man", dir.0.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let mut names: Vec<_> =
        fs::read_dir(&dir.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    for name in ["pgvigil.1", "pgvigil-status.1", "pgvigil-runbook-approve.1", "pgvigil-demo-fault.1"] {
        assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
    }
    let (code, main) = pgvigil(&["man"]);
    assert_eq!((code, main), (Some(0), fs::read_to_string(dir.0.join("pgvigil.1")).unwrap()));
    for name in &names {
        let page = dir.0.join(name);
        let page = page.to_str().unwrap();
        if is_here("groff") {
            assert_eq!(
                Command::new("groff").args(["-man", "-ww", "-z", page]).output().map(text).unwrap(),
                "",
                "{name}"
            );
        }
        if is_here("mandoc") {
            run("mandoc", &["-Tlint", "-Werror", page]);
        }
    }
    // A directory that cannot be made.
    let (code, said) = pgvigil(&["man", "/dev/null/man1"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("cannot make the directory /dev/null/man1: "), "{said}");
}

#[test]
fn the_version_says_what_it_was_built_from() {
    let (code, short) = pgvigil(&["-V"]);
    assert_eq!(code, Some(0));
    let version = env!("CARGO_PKG_VERSION");
    assert!(short.starts_with(&format!("pgvigil {version} (commit ")) && short.lines().count() == 1, "{short}");
    let (_, long) = pgvigil(&["--version"]);
    let lines: Vec<_> = long.lines().collect();
    assert_eq!(lines[0], format!("pgvigil {version}"));
    assert!(
        lines[1].starts_with("commit  ") && lines[2].starts_with("built   ") && lines[3].starts_with("by      rustc ")
    );
}

#[test]
fn the_commit_is_of_this_checkout_alone() {
    let dir = Dir::new("commit");
    let script = dir.0.join("script");
    let build = Path::new(ROOT).join("build.rs");
    run("rustc", &["--edition", "2024", "-o", script.to_str().unwrap(), build.to_str().unwrap()]);
    let root = dir.0.join("outer");
    let git = |arguments: &[&str]| {
        let who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false", "-C"];
        run("git", &[&who[..], &[root.to_str().unwrap()], arguments].concat())
    };
    fs::create_dir_all(root.join("src")).unwrap();
    fs::create_dir_all(root.join("tarball")).unwrap();
    fs::write(root.join("src/main.rs"), "").unwrap();
    git(&["init", "-q"]);
    git(&["add", "src"]);
    git(&["commit", "-qm", "first"]);
    let built = |place: &Path, profile: &str, given: &str| {
        let mut build = Command::new(&script);
        build.env("CARGO_MANIFEST_DIR", place).env("PROFILE", profile).env("TARGET", "t").env("RUSTC", "rustc");
        let said = text(build.env("BUILD_COMMIT", given).output().unwrap());
        let commit = said.lines().find_map(|line| line.strip_prefix("cargo::rustc-env=BUILT_COMMIT="));
        (commit.unwrap().to_owned(), said)
    };
    let head = git(&["rev-parse", "--short=12", "HEAD"]).trim().to_owned();
    let (commit, said) = built(&root, "release", "");
    assert_eq!(commit, head);
    assert!(said.contains("rerun-if-changed=") && said.contains("/.git/HEAD\n") && said.contains("/src\n"), "{said}");
    assert_eq!(built(&root, "release", "").1, said, "twice the same");
    fs::write(root.join("src/main.rs"), "fn main() {}").unwrap();
    assert_eq!(built(&root, "release", "").0, format!("{head}-dirty"));
    assert_eq!(built(&root, "release", "abc123").0, "abc123");
    assert_eq!(built(&root, "release", "a\nb").0, format!("{head}-dirty"));
    // A tarball inside the checkout of something else, and a debug build, which git does not make anew.
    assert_eq!(built(&root.join("tarball"), "release", "").0, "unknown");
    let (commit, said) = built(&root, "debug", "");
    assert!(commit == "unknown" && !said.contains(".git"), "{said}");
}

#[test]
fn a_slip_is_answered_with_what_was_meant() {
    for (arguments, meant) in [
        (&["statsu"][..], "'status'"),
        (&["status", "--wach"], "'--watch'"),
        (&["runbook", "aprove"], "'approve'"),
        (&["demo", "fault", "kill-primray"], "'kill-primary'"),
        (&["status", "--interval", "10ms", "--watch"], "the least is 500ms"),
    ] {
        let (code, said) = pgvigil(arguments);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(meant), "{arguments:?}: {said}");
    }
}

/// What is printed into a terminal, by `script`, with more of the environment.
fn in_a_terminal(arguments: &[&str], more: &[(&str, &str)]) -> String {
    let line = format!("{PGVIGIL} {}", arguments.join(" "));
    let mut script = Command::new("script");
    script.args(["-qfc", &line, "/dev/null"]).stdin(std::process::Stdio::null()).env("TERM", "xterm-256color");
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        script.env_remove(name);
    }
    text(script.envs(more.iter().copied()).output().unwrap())
}

#[test]
fn no_color_leaves_no_escape_byte_and_clicolor_force_colours_a_pipe() {
    let dir = Dir::new("colour");
    let config = dir.0.join("pgvigil.yml");
    let state = dir.0.join("state");
    fs::create_dir(&state).unwrap();
    let yaml = format!(
        "state_dir: {}\nclusters: [{{name: c, nodes: [{{name: a, dsn: host=db1 user=m}}]}}]\n",
        state.display()
    );
    fs::write(&config, yaml).unwrap();
    let (config, bundle) = (config.to_str().unwrap(), dir.0.join("bundle"));
    let nobody = "http://127.0.0.1:1";
    let all: &[&[&str]] = &[
        &["--help"],
        &["help", "runbook", "approve"],
        &["--version"],
        &["statsu"],
        &["check", "--config", config],
        &["check", "--config", "/nowhere.yml"],
        &["status", "--server", nobody],
        &["status", "--json", "--server", nobody],
        &["maintenance", "end", "--server", nobody],
        &["runbook", "list", "--server", nobody],
        &["runbook", "history", "--config", config],
        &["assets", "export", bundle.to_str().unwrap()],
        &["completions", "bash"],
        &["serve", "--log", "debug", "--config", "/nowhere.yml"],
    ];
    for arguments in all {
        let said = in_a_terminal(arguments, &[("NO_COLOR", "1")]);
        assert!(!said.is_empty() && !said.contains('\x1b'), "{arguments:?}: {said:?}");
        let (_, piped) = pgvigil(arguments);
        assert!(!piped.contains('\x1b'), "{arguments:?}: {piped:?}");
    }
    assert!(in_a_terminal(&["--help"], &[]).contains('\x1b'), "a terminal gets what it can show");
    let forced = Command::new(PGVIGIL).arg("--help").env("CLICOLOR_FORCE", "1").output().map(text).unwrap();
    assert!(forced.contains('\x1b'));
    let both = Command::new(PGVIGIL).arg("--help").env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").output();
    assert!(!both.map(text).unwrap().contains('\x1b'));
}

#[test]
fn a_password_in_an_address_is_not_shown() {
    let (code, said) = pgvigil(&["status", "--server", "http://somebody:hunter2@127.0.0.1:1"]);
    assert_ne!(code, Some(0), "{said}");
    assert!(said.contains("http://127.0.0.1:1/") && said.contains("does not answer"), "{said}");
    assert!(!said.contains("somebody") && !said.contains("hunter2"), "{said}");
}
