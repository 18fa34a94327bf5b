//! repmgr: its daemon decides, and what it wrote about nodes is wrong after a promotion that it knows nothing of.

use std::path::Path;
use std::time::Duration;

use super::Advice;

/// By its defaults: `reconnect_attempts` 6, each up to two seconds long, `reconnect_interval` 10 s between them, and
/// `sibling_nodes_disconnect_timeout` and the promotion itself at most a minute.
const WAIT: Duration = Duration::from_secs(5 * 10 + 2 * 6 + 60);

/// What to do where a primary is gone and its daemon does nothing; `conf` is its config on the nodes.
pub fn advice(conf: &Path) -> Advice {
    let command = |words: &str| format!("repmgr -f {} {words}", conf.display());
    Advice {
        wait: WAIT,
        commands: vec![
            command("service status"),
            command("service pause"),
            command("standby promote --siblings-follow --dry-run"),
            command("standby promote --siblings-follow"),
            command("service unpause"),
        ],
        caution: "run them on the standby that is to be promoted; repmgr fences nobody: make sure first that the old primary is gone",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_daemon_is_paused_before_a_person_promotes() {
        let advice = advice(Path::new("/etc/repmgr.conf"));
        assert_eq!(advice.wait, Duration::from_secs(122));
        assert_eq!(advice.commands[1], "repmgr -f /etc/repmgr.conf service pause");
        assert!(advice.commands[2].ends_with("--dry-run"));
    }
}
