//! pg_auto_failover: its monitor decides, and a promotion that it knows nothing of forks the timeline.

use std::time::Duration;

use super::Advice;

/// How long its command waits for the monitor. The monitor goes on after that.
const WAIT: Duration = Duration::from_secs(60);

/// What to do where a primary is gone and its monitor does nothing.
pub fn advice(formation: &str) -> Advice {
    Advice {
        wait: WAIT,
        commands: vec![
            format!("pg_autoctl show state --formation {formation}"),
            format!("pg_autoctl perform failover --formation {formation}"),
        ],
        caution: "run them on the monitor; when its command gives up, the monitor may still be at it: watch its state before anything else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_looked_at_first() {
        let commands = advice("default").commands;
        assert_eq!(commands[0], "pg_autoctl show state --formation default");
        assert_eq!(commands.len(), 2);
    }
}
