//! Tells `--version` what this is built from. BUILD_COMMIT says the commit where git cannot, as in a container; a source tree without
//! git, and a debug build, which would be made anew after every commit, know none.

use std::env;
use std::path::Path;
use std::process::Command;

/// What the binary is made of: when it changes the crate is built anew anyway, and may differ from the commit.
const MADE_OF: &[&str] = &["src", "alerts", "build.rs", "Cargo.toml", "Cargo.lock"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=BUILD_COMMIT");
    let given = env::var("BUILD_COMMIT").ok().filter(|commit| is_plain(commit));
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = given.or_else(|| if is_release { commit() } else { None });
    println!("cargo::rustc-env=BUILT_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    let rustc = env::var("RUSTC").ok().and_then(|rustc| say(Command::new(rustc).arg("--version")));
    println!("cargo::rustc-env=BUILT_RUSTC={}", rustc.as_deref().unwrap_or("rustc of unknown version"));
    println!("cargo::rustc-env=BUILT_TARGET={}", env::var("TARGET").unwrap_or_default());
    println!("cargo::rustc-env=BUILT_PROFILE={}", env::var("PROFILE").unwrap_or_default());
}

fn is_plain(commit: &str) -> bool {
    !commit.is_empty() && commit.len() <= 64 && commit.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// The commit that is checked out, if this directory itself is a checkout.
fn commit() -> Option<String> {
    let root = env::var("CARGO_MANIFEST_DIR").ok()?;
    let root = Path::new(&root);
    // A tarball may have been unpacked inside the checkout of something else.
    if !root.join(".git").exists() {
        return None;
    }
    let git = |arguments: &[&str]| say(Command::new("git").arg("-C").arg(root).args(arguments));
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    let mut wait_for: Vec<_> = MADE_OF.iter().map(|name| root.join(name)).collect();
    let branch = git(&["symbolic-ref", "-q", "HEAD"]).unwrap_or_default();
    for name in ["HEAD", "packed-refs", branch.as_str()].into_iter().filter(|name| !name.is_empty()) {
        wait_for.extend(git(&["rev-parse", "--git-path", name]).map(|path| root.join(path)));
    }
    // One that is not there would have this run at every build.
    for path in wait_for.iter().filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    match changed {
        Some(changed) if changed.is_empty() => Some(commit),
        _ => Some(format!("{commit}-dirty")),
    }
}

fn say(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
