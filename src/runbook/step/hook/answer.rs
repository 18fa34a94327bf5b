//! What a hook's end means.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use serde_json::Value;

/// What a hook answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done; a probe says that it is so. Exit 0.
    Done,
    /// There was nothing left to do. Exit 11.
    AlreadyDone,
    /// It must not be done; a probe says that it is not so. Exit 10.
    No,
    /// Nothing was done, and another attempt may help. Exit 20.
    Retry,
    /// It failed with another exit up to 123.
    Failed(i32),
    /// Nobody knows what it did, and why: exit 30 or above 123, a signal, a timeout, a flood.
    Unknown(String),
}

/// What a hook says in the last line of its standard output, where that is a JSON object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Said {
    /// How it went, in a word.
    status: Option<String>,
    /// For people.
    pub(super) message: Option<String>,
    /// For later steps.
    pub(super) data: Option<Value>,
}

impl Said {
    /// Looks at the end of what was printed. What is not as it should be is passed over.
    pub(super) fn of(stdout: &str) -> Self {
        let last = stdout.trim_end().lines().next_back().unwrap_or_default();
        let Ok(Value::Object(mut object)) = serde_json::from_str(last) else { return Self::default() };
        let mut text = |key| match object.remove(key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let (status, message) = (text("status"), text("message"));
        Self { status, message, data: object.remove("data").filter(|data| !data.is_null()) }
    }

    /// Whether it says that it is not done.
    fn denies(&self) -> Option<&str> {
        self.status.as_deref().filter(|status| ["no", "retry", "failed", "unknown"].contains(status))
    }
}

impl Answer {
    /// What this exit means. That it is done is believed only if the hook does not say otherwise itself.
    pub(super) fn of(status: ExitStatus, said: &Said) -> Self {
        let code = match (status.code(), status.signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => return Self::Unknown(format!("signal {signal} ended it")),
            (None, None) => return Self::Unknown("its end has neither an exit nor a signal".to_owned()),
        };
        match (code, said.denies()) {
            (0 | 11, Some(word)) => Self::Unknown(format!("its exit {code} says done and its last line {word:?}")),
            (0, None) => Self::Done,
            (11, None) => Self::AlreadyDone,
            (10, _) => Self::No,
            (20, _) => Self::Retry,
            (30, _) => Self::Unknown("exit 30: it does not know".to_owned()),
            (..=123, _) => Self::Failed(code),
            // A shell's word for a child that a signal ended, `timeout`'s for one that was late, and ssh's for a connection that broke.
            _ => Self::Unknown(format!("exit {code}: what it ran was cut off, or never ran")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_line_speaks_if_it_is_an_object() {
        let said = |status: Option<&str>, message: Option<&str>, data| Said {
            status: status.map(str::to_owned),
            message: message.map(str::to_owned),
            data,
        };
        for (printed, expected) in [
            ("", Said::default()),
            ("\n\n", Said::default()),
            ("stopped", Said::default()),
            ("[1]", Said::default()),
            ("7", Said::default()),
            (r#"{"status": "ok""#, Said::default()),
            (r#"{"message": 7, "status": null, "data": null, "more": 1}"#, Said::default()),
            ("{\"message\": \"first\"}\nlast", Said::default()),
            ("working\n{\"status\": \"ok\", \"message\": \"stopped\"}\n \n", said(Some("ok"), Some("stopped"), None)),
            (r#"{"data": {"lsn": "0/3000148"}}"#, said(None, None, Some(json!({"lsn": "0/3000148"})))),
        ] {
            assert_eq!(Said::of(printed), expected, "{printed:?}");
        }
        let deep = "{\"data\":".to_owned() + &"[".repeat(60_000);
        assert_eq!(Said::of(&deep), Said::default());
    }

    #[test]
    fn an_exit_means_one_thing_and_done_is_denied_by_a_word() {
        let of = |raw, status: Option<&str>| {
            let said = Said { status: status.map(str::to_owned), ..Said::default() };
            Answer::of(ExitStatus::from_raw(raw), &said)
        };
        let exit = |code: i32, status| of(code << 8, status);
        let unknown = |answer: Answer| assert!(matches!(answer, Answer::Unknown(_)), "{answer:?}");
        for word in [None, Some("ok"), Some("done"), Some("already_done"), Some("splendid")] {
            assert_eq!(exit(0, word), Answer::Done);
            assert_eq!(exit(11, word), Answer::AlreadyDone);
        }
        for word in ["no", "retry", "failed", "unknown"] {
            unknown(exit(0, Some(word)));
            unknown(exit(11, Some(word)));
        }
        // A word makes nothing better than its exit.
        for word in [None, Some("ok"), Some("done")] {
            assert_eq!(exit(10, word), Answer::No);
            assert_eq!(exit(20, word), Answer::Retry);
            for code in [1, 2, 9, 12, 19, 21, 29, 31, 123] {
                assert_eq!(exit(code, word), Answer::Failed(code));
            }
            for code in [30, 124, 125, 126, 127, 137, 143, 255] {
                unknown(exit(code, word));
            }
            unknown(of(9, word));
            unknown(of(15, word));
        }
    }
}
