//! Whether colour is wanted, by the words of the environment that many programs heed.

use std::env::var_os;
use std::io::{IsTerminal, stdout};

/// Whether standard output is to be coloured.
pub(super) fn is_wanted() -> bool {
    let said = |name| var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    let no_colour = var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = var_os("TERM").is_some_and(|term| term == "dumb");
    decide(no_colour, said("CLICOLOR_FORCE"), stdout().is_terminal() && !is_dumb)
}

/// NO_COLOR is stronger than CLICOLOR_FORCE, and both than what standard output is.
const fn decide(no_colour: bool, forced: bool, is_terminal: bool) -> bool {
    !no_colour && (forced || is_terminal)
}

#[cfg(test)]
mod tests {
    use super::decide;

    #[test]
    fn who_says_no_is_heard_first() {
        assert!(!decide(true, true, true));
        assert!(decide(false, true, false));
        assert!(decide(false, false, true));
        assert!(!decide(false, false, false));
    }
}
