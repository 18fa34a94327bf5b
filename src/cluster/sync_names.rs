//! `synchronous_standby_names` as the server reads it.
//!
//! What surprises: names keep their case and are compared without it, quoted or not; a quoted `"*"` is the wildcard too; a number may
//! be a name; the count wraps at 32 bits; empty text is off, while blanks alone are an error.

use std::fmt;

use super::sync_tokens::{Token, tokens};

/// Whom a commit waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncNames {
    /// How the standbys are chosen.
    pub method: Method,
    /// For how many of them: at least 1, and it may be more than there are names.
    pub required: u32,
    /// The names, in order, as they were written; never empty.
    pub names: Vec<String>,
}

/// How the standbys that a commit waits for are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Those that stand first in the list. A list without a word means `FIRST`.
    First,
    /// Any that are quick enough.
    Any,
}

/// Text that the server would not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncNamesError {
    /// A quoted name without an end.
    #[error("synchronous_standby_names: the quote at byte {0} is never closed")]
    Unterminated(usize),
    /// A character that begins nothing.
    #[error(
        "synchronous_standby_names: {character:?} at byte {at} has no meaning here; a name with it needs double quotes"
    )]
    Character {
        /// The character.
        character: char,
        /// Where it stands.
        at: usize,
    },
    /// Something else belongs here.
    #[error("synchronous_standby_names: expected {expected} at byte {at}")]
    Expected {
        /// What belongs here.
        expected: &'static str,
        /// Where; the length of the text at its end.
        at: usize,
    },
    /// Nobody can wait for so many.
    #[error("synchronous_standby_names: the server reads the number of standbys as {0}, and needs one above 0")]
    NotPositive(i32),
}

impl SyncNames {
    /// Reads the setting; `None`: off.
    pub fn parse(text: &str) -> Result<Option<Self>, SyncNamesError> {
        if text.is_empty() {
            return Ok(None);
        }
        Parser { tokens: tokens(text)?, next: 0, end: text.len() }.names().map(Some)
    }

    /// The place of a standby in the list, from 1; `None` if it is not in it. All that match under `ANY` are equal for the server.
    pub fn place(&self, application_name: &str) -> Option<usize> {
        let fits = |name: &String| name == "*" || name.eq_ignore_ascii_case(application_name);
        self.names.iter().position(fits).map(|index| index + 1)
    }
}

impl fmt::Display for SyncNames {
    /// As a server takes it, every name in quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            Method::First => "FIRST",
            Method::Any => "ANY",
        };
        let names: Vec<_> = self.names.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
        write!(f, "{method} {} ({})", self.required, names.join(", "))
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
}

impl Parser {
    fn names(mut self) -> Result<SyncNames, SyncNamesError> {
        let method = match self.peek(0) {
            Some(Token::Any) => Some(Method::Any),
            Some(Token::First) => Some(Method::First),
            _ => None,
        };
        let counted = matches!((self.peek(0), self.peek(1)), (Some(Token::Number(_)), Some(Token::Open)));
        if method.is_none() && !counted {
            let names = self.list()?;
            self.expect(None, "a comma or the end")?;
            return Ok(SyncNames { method: Method::First, required: 1, names });
        }
        self.next += usize::from(method.is_some());
        let Some(Token::Number(digits)) = self.peek(0) else { return Err(self.expected("a number")) };
        let number = count(digits);
        self.next += 1;
        self.expect(Some(&Token::Open), "an opening parenthesis")?;
        let names = self.list()?;
        self.expect(Some(&Token::Close), "a comma or the closing parenthesis")?;
        self.expect(None, "the end")?;
        match u32::try_from(number) {
            Ok(required) if required > 0 => Ok(SyncNames { method: method.unwrap_or(Method::First), required, names }),
            _ => Err(SyncNamesError::NotPositive(number)),
        }
    }

    fn list(&mut self) -> Result<Vec<String>, SyncNamesError> {
        let mut names = Vec::new();
        loop {
            match self.peek(0) {
                Some(Token::Name(name) | Token::Number(name)) => names.push(name.clone()),
                _ => return Err(self.expected("the name of a standby")),
            }
            self.next += 1;
            if self.peek(0) != Some(&Token::Comma) {
                return Ok(names);
            }
            self.next += 1;
        }
    }

    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.next + ahead).map(|(_, token)| token)
    }

    /// Steps over `token`; `None` is the end.
    fn expect(&mut self, token: Option<&Token>, expected: &'static str) -> Result<(), SyncNamesError> {
        if self.peek(0) != token {
            return Err(self.expected(expected));
        }
        self.next += 1;
        Ok(())
    }

    fn expected(&self, expected: &'static str) -> SyncNamesError {
        let at = self.tokens.get(self.next).map_or(self.end, |(at, _)| *at);
        SyncNamesError::Expected { expected, at }
    }
}

/// What C's `atoi` makes of digits on the servers' platforms: 64 bits, and then the lower 32.
fn count(digits: &str) -> i32 {
    digits.parse::<i64>().unwrap_or(i64::MAX) as i32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> SyncNames {
        SyncNames::parse(text).unwrap().unwrap()
    }

    fn names(method: Method, required: u32, names: &[&str]) -> SyncNames {
        SyncNames { method, required, names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn reads_every_form() {
        use Method::{Any, First};
        for (text, expected) in [
            ("b", names(First, 1, &["b"])),
            ("b, c", names(First, 1, &["b", "c"])),
            ("2 (b, c)", names(First, 2, &["b", "c"])),
            ("FIRST 2 (b, c)", names(First, 2, &["b", "c"])),
            ("fIrSt 1(b,c)", names(First, 1, &["b", "c"])),
            ("ANY 2 (b, c)", names(Any, 2, &["b", "c"])),
            (" \t\r\n\u{b}\u{c}any\n3 ( b ,c ) ", names(Any, 3, &["b", "c"])),
            ("any1", names(First, 1, &["any1"])),
            ("first_one, anybody", names(First, 1, &["first_one", "anybody"])),
            ("\"any\", \"first\"", names(First, 1, &["any", "first"])),
            ("2, 3", names(First, 1, &["2", "3"])),
            ("2", names(First, 1, &["2"])),
            ("\"a \"\"b\"\", c\"", names(First, 1, &["a \"b\", c"])),
            ("\"\"", names(First, 1, &[""])),
            ("*", names(First, 1, &["*"])),
            ("ANY 1 (b, *)", names(Any, 1, &["b", "*"])),
            ("Bé_$9", names(First, 1, &["Bé_$9"])),
            ("ANY 4294967297 (b)", names(Any, 1, &["b"])),
        ] {
            assert_eq!(SyncNames::parse(text), Ok(Some(expected)), "{text:?}");
        }
        assert_eq!(SyncNames::parse(""), Ok(None));
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let expected = |expected, at| SyncNamesError::Expected { expected, at };
        for (text, error) in [
            ("  ", expected("the name of a standby", 2)),
            ("ANY", expected("a number", 3)),
            ("ANY, b", expected("a number", 3)),
            ("b, any", expected("the name of a standby", 3)),
            ("FIRST b (c)", expected("a number", 6)),
            ("ANY 1 b", expected("an opening parenthesis", 6)),
            ("ANY 1 ()", expected("the name of a standby", 7)),
            ("ANY 1 (b", expected("a comma or the closing parenthesis", 8)),
            ("ANY 1 (b) c", expected("the end", 10)),
            ("b c", expected("a comma or the end", 2)),
            ("2b", expected("a comma or the end", 1)),
            ("b,", expected("the name of a standby", 2)),
            ("(b)", expected("the name of a standby", 0)),
            ("b, \"c", SyncNamesError::Unterminated(3)),
            ("b-1", SyncNamesError::Character { character: '-', at: 1 }),
            ("-1 (b)", SyncNamesError::Character { character: '-', at: 0 }),
            ("$b", SyncNamesError::Character { character: '$', at: 0 }),
            ("FIRST 0 (b)", SyncNamesError::NotPositive(0)),
            ("4294967296 (b)", SyncNamesError::NotPositive(0)),
            ("2147483648 (b)", SyncNamesError::NotPositive(i32::MIN)),
            ("99999999999999999999 (b)", SyncNamesError::NotPositive(-1)),
        ] {
            assert_eq!(SyncNames::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn names_are_compared_without_case_and_the_first_that_fits_counts() {
        let names = parsed("Berlin, \"PARIS\", *, rome");
        assert_eq!(["bErLiN", "paris", "rome", ""].map(|name| names.place(name)), [Some(1), Some(2), Some(3), Some(3)]);
        assert_eq!(parsed("\"*\"").place("anybody"), Some(1));
        assert_eq!(parsed("\"b \", é").place("b"), None);
        assert_eq!(parsed("é").place("É"), None, "only ASCII has case here");
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_the_same(any in any::<bool>(), required in 1..=i32::MAX, list in prop::collection::vec(".*", 1..5)) {
            let method = if any { Method::Any } else { Method::First };
            let names = SyncNames { method, required: required as u32, names: list };
            prop_assert_eq!(SyncNames::parse(&names.to_string()), Ok(Some(names)));
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = SyncNames::parse(&text);
        }

        #[test]
        fn what_is_accepted_prints_and_reads_the_same(
            parts in prop::collection::vec(prop::sample::select(&[
                "ANY", "first", "1", "0", "2147483648", "b", "B_$1", "é", "*", "\"", "\"c\"", "\"\"", "(", ")", ",", ", ", " ", "\n", "-",
            ][..]), 0..9)
        ) {
            if let Ok(Some(names)) = SyncNames::parse(&parts.concat()) {
                prop_assert!(!names.names.is_empty() && names.required > 0);
                prop_assert_eq!(SyncNames::parse(&names.to_string()), Ok(Some(names)));
            }
        }
    }
}
