//! Bearer tokens: kept as keyed hashes, compared in constant time.

use ring::hmac::{HMAC_SHA256, Key, Tag, sign, verify};
use ring::rand::SystemRandom;

/// A token that is shorter can be guessed.
const LEAST_BYTES: usize = 16;

/// A key of this process alone: what is hashed by it can be compared here and nowhere else.
#[derive(Clone)]
pub(crate) struct Hasher(Key);

impl Hasher {
    /// Draws a key. `None`: the system gave no random numbers.
    pub(crate) fn new() -> Option<Self> {
        Key::generate(HMAC_SHA256, &SystemRandom::new()).ok().map(Self)
    }

    pub(crate) fn hash(&self, parts: &[&str]) -> Tag {
        let mut all = Vec::new();
        for part in parts {
            // With its length no part can pass for another's end.
            all.extend_from_slice(&part.len().to_le_bytes());
            all.extend_from_slice(part.as_bytes());
        }
        sign(&self.0, &all)
    }
}

/// Tokens and whose they are.
pub(crate) struct Tokens<T> {
    hasher: Hasher,
    all: Vec<(Tag, T)>,
}

impl<T> Tokens<T> {
    pub(crate) fn new(hasher: Hasher) -> Self {
        Self { hasher, all: Vec::new() }
    }

    /// Adds the text of a token file. The error ends the sentence "token_file …".
    pub(crate) fn add(&mut self, text: &str, owner: T) -> Result<(), &'static str> {
        let token = text.trim();
        if token.is_empty() {
            return Err("is empty: write the token into it");
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("holds more than one word of printable ASCII: write nothing but the token into it");
        }
        if token.len() < LEAST_BYTES {
            return Err(
                "holds a token that is shorter than 16 characters, which can be guessed: make one with `openssl rand -hex 32`",
            );
        }
        if self.owner(token).is_some() {
            return Err("holds the token of somebody else: whose would it be?");
        }
        self.all.push((self.hasher.hash(&[token]), owner));
        Ok(())
    }

    /// Whose token this is. Takes as long for a wrong one as for a right one.
    pub(crate) fn owner(&self, token: &str) -> Option<&T> {
        let shown = self.hasher.hash(&[token]);
        let mut found = None;
        for (tag, owner) in &self.all {
            if same(&self.hasher, tag, &shown) {
                found = Some(owner);
            }
        }
        found
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// Compares two hashes by the hashes of them, which `verify` does in constant time.
fn same(hasher: &Hasher, one: &Tag, other: &Tag) -> bool {
    verify(&hasher.0, one.as_ref(), sign(&hasher.0, other.as_ref()).as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_whole_or_not_at_all() {
        let hasher = Hasher::new().unwrap();
        let mut tokens = Tokens::new(hasher.clone());
        tokens.add("0123456789abcdef\n", "ops").unwrap();
        tokens.add(" fedcba9876543210 ", "alertmanager").unwrap();
        assert_eq!(tokens.owner("0123456789abcdef"), Some(&"ops"));
        assert_eq!(tokens.owner("fedcba9876543210"), Some(&"alertmanager"));
        for wrong in ["", "0", "0123456789abcde", "0123456789abcdef ", "0123456789abcdefg", "0123456789ABCDEF"] {
            assert_eq!(tokens.owner(wrong), None, "{wrong}");
        }
        for (text, why) in [
            ("", "empty"),
            ("\n", "empty"),
            ("0123456789abcde", "shorter"),
            ("0123456789 abcdef", "one word"),
            ("0123456789abcdef", "somebody else"),
            ("0123456789abcdé", "printable"),
        ] {
            assert!(tokens.add(text, "x").unwrap_err().contains(why), "{text}");
        }
        assert_ne!(hasher.hash(&["ab", "c"]).as_ref(), hasher.hash(&["a", "bc"]).as_ref());
    }
}
