//! Runs a program of the operator's that only says something, such as which backups there are. No shell, no input, a process group of
//! its own that does not outlive us, and an end to how long it may take and how much it may say.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::hook::{PATH, check};

/// Whoever says more says nothing that we know of.
const MOST: u64 = 4 << 20;
/// So much of its errors is read.
const MOST_ERRORS: u64 = 64 << 10;

/// Runs `argv` for at most `deadline`; what it printed, whatever its exit was, or in a sentence why there is nothing. A program that
/// failed and printed nothing is told by the last line of its standard error.
pub async fn listen(argv: &[String], deadline: Duration) -> Result<String, String> {
    // The words are those of hooks, which are run by the same rule.
    check(argv).map_err(|error| error.to_string().replacen("hook ", "", 1))?;
    let Some((program, arguments)) = argv.split_first() else { return Err("no program is named".to_owned()) };
    let mut command = Command::new(program);
    command.args(arguments).process_group(0).env_clear().kill_on_drop(true);
    command.env("PATH", PATH).env("LANG", "C").envs(std::env::var_os("HOME").map(|home| ("HOME", home)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{program} cannot be started: {error}"))?;
    let mut group = Group(child.id());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let heard = async {
        let (said, errors) = tokio::join!(up_to(MOST + 1, stdout), up_to(MOST_ERRORS, stderr));
        if said.len() as u64 > MOST {
            return Err(format!("{program} said more than {} MiB", MOST >> 20));
        }
        let exit = child.wait().await.map_err(|error| format!("how {program} ended is not known: {error}"))?;
        // Its number may be another's from now on.
        group.0 = None;
        match said.trim_ascii().is_empty() {
            false => Ok(String::from_utf8_lossy(&said).into_owned()),
            true => Err(format!("{program} said nothing ({exit}){}", last_line(&errors))),
        }
    };
    let heard = timeout(deadline, heard).await;
    drop(group);
    heard.unwrap_or_else(|_| Err(format!("{program} had not ended after {} s and was killed", deadline.as_secs_f64())))
}

/// What it says, the rest of which is left unread.
async fn up_to(most: u64, from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What was read until an error counts.
        let _ = from.take(most).read_to_end(&mut bytes).await;
    }
    bytes
}

fn last_line(errors: &[u8]) -> String {
    let text = String::from_utf8_lossy(errors);
    let line = text.trim_end().lines().next_back().unwrap_or_default();
    let line: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

/// The group of the program, which ends with it, also if nobody waits any more.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let leader = self.0.and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        if let Some(group) = leader {
            // One that is gone is what is asked for.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
