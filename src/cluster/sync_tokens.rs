//! The words of `synchronous_standby_names`.

use super::sync_names::SyncNamesError;

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// `ANY`, in any case, without quotes.
    Any,
    /// `FIRST`, likewise.
    First,
    /// Digits.
    Number(String),
    /// A name, its quotes taken off, or `*`.
    Name(String),
    /// `,`
    Comma,
    /// `(`
    Open,
    /// `)`
    Close,
}

/// All words, each with the byte where it begins.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, SyncNamesError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        let rest = &text[at..];
        let (token, length) = match character {
            ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' => {
                at += 1;
                continue;
            }
            ',' => (Token::Comma, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '*' => (Token::Name("*".to_owned()), 1),
            '"' => {
                let (name, length) = quoted(rest).ok_or(SyncNamesError::Unterminated(at))?;
                (Token::Name(name), length)
            }
            '0'..='9' => {
                let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                (Token::Number(rest[..length].to_owned()), length)
            }
            _ if begins_name(character) => {
                let goes_on = |c: char| begins_name(c) || c.is_ascii_digit() || c == '$';
                let length = rest.find(|c: char| !goes_on(c)).unwrap_or(rest.len());
                (word(&rest[..length]), length)
            }
            _ => return Err(SyncNamesError::Character { character, at }),
        };
        tokens.push((at, token));
        at += length;
    }
    Ok(tokens)
}

/// For the server every byte beyond ASCII is a letter.
fn begins_name(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_' || !character.is_ascii()
}

fn word(word: &str) -> Token {
    if word.eq_ignore_ascii_case("any") {
        Token::Any
    } else if word.eq_ignore_ascii_case("first") {
        Token::First
    } else {
        Token::Name(word.to_owned())
    }
}

/// The name in the quotes that `text` begins with, where `""` stands for one, and its length with the quotes.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character != '"' {
            name.push(character);
        } else if characters.next_if(|(_, next)| *next == '"').is_some() {
            name.push('"');
        } else {
            return Some((name, at + 1));
        }
    }
    None
}
