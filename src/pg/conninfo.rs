//! libpq's connection strings, in both forms, as text: which options there are, which of them count here, and why others are refused.
//! No error shows a value: it may be a password, or the rest of one that was not quoted.

use std::collections::BTreeMap;

/// A connection string that cannot be used. The text is safe to show.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DsnError {
    /// No such option, with the nearest one that there is.
    #[error("{name:?} is not a connection option{}", .nearest.map(|near| format!(": did you mean {near}?")).unwrap_or_default())]
    Unknown {
        /// What stands there.
        name: String,
        /// The nearest option.
        nearest: Option<&'static str>,
    },
    /// A word that is no option and may be part of a password.
    #[error("what stands at character {0} is not a connection option: a value with a space in it needs single quotes")]
    Stray(usize),
    /// An option without a value.
    #[error(
        "no = follows the word that ends at character {0}: options are written name=value, values with a space in single quotes"
    )]
    NoEquals(usize),
    /// An opening quote without its end.
    #[error("the single quote at character {0} is not closed")]
    Unclosed(usize),
    /// libpq knows the option, pgvigil does not use it.
    #[error("{name} is not available: {why}")]
    Refused {
        /// The option, or the environment variable that sets it.
        name: String,
        /// Why, and what to do instead.
        why: &'static str,
    },
    /// A value that its option cannot have.
    #[error("{name} is not {expected}")]
    Value {
        /// The option, or the environment variable that sets it.
        name: String,
        /// What it must be, with its article.
        expected: &'static str,
    },
    /// A URI that breaks its own syntax.
    #[error("the URI is wrong: {0}")]
    Uri(&'static str),
    /// Nothing says as whom to log in.
    #[error("no user is named, and the name of this process's user cannot be found: set user or PGUSER")]
    NoUser,
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// It counts.
    Used,
    /// It counts for nothing, and is accepted only with a value that asks for what pgvigil does anyway.
    Only(&'static [&'static str], &'static str),
    /// Refused, and why.
    Refused(&'static str),
}

const LATER: &str = "not in this version of pgvigil";
const KERBEROS: &str = "pgvigil does not speak Kerberos";
const EACH_SERVER: &str = "pgvigil watches each server by itself: give each its own node";

/// Every option of libpq, with its environment variable.
const OPTIONS: &[(&str, &str, Rule)] = &[
    ("host", "PGHOST", Rule::Used),
    ("hostaddr", "PGHOSTADDR", Rule::Used),
    ("port", "PGPORT", Rule::Used),
    ("dbname", "PGDATABASE", Rule::Used),
    ("user", "PGUSER", Rule::Used),
    ("password", "PGPASSWORD", Rule::Used),
    ("passfile", "PGPASSFILE", Rule::Used),
    ("options", "PGOPTIONS", Rule::Used),
    ("channel_binding", "PGCHANNELBINDING", Rule::Used),
    ("connect_timeout", "PGCONNECT_TIMEOUT", Rule::Used),
    ("tcp_user_timeout", "", Rule::Used),
    ("keepalives", "", Rule::Used),
    ("keepalives_idle", "", Rule::Used),
    ("keepalives_interval", "", Rule::Used),
    ("keepalives_count", "", Rule::Used),
    ("sslmode", "PGSSLMODE", Rule::Used),
    ("sslrootcert", "PGSSLROOTCERT", Rule::Used),
    ("sslcert", "PGSSLCERT", Rule::Used),
    ("sslkey", "PGSSLKEY", Rule::Used),
    ("application_name", "", Rule::Used),
    ("fallback_application_name", "", Rule::Used),
    ("client_encoding", "", Rule::Only(&["UTF8", "utf8", "UTF-8", "utf-8", "auto"], "pgvigil always speaks UTF8")),
    ("gssencmode", "PGGSSENCMODE", Rule::Only(&["disable", "prefer"], KERBEROS)),
    ("sslcompression", "", Rule::Only(&["0"], "TLS compression is not safe")),
    ("sslsni", "", Rule::Only(&["1"], LATER)),
    ("sslnegotiation", "PGSSLNEGOTIATION", Rule::Only(&["postgres"], LATER)),
    ("sslcertmode", "PGSSLCERTMODE", Rule::Only(&["allow"], LATER)),
    (
        "ssl_min_protocol_version",
        "PGSSLMINPROTOCOLVERSION",
        Rule::Only(&["TLSv1", "TLSv1.1", "TLSv1.2"], "TLS is 1.2 or 1.3 here"),
    ),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Rule::Only(&["TLSv1.3"], "TLS is 1.2 or 1.3 here")),
    ("target_session_attrs", "PGTARGETSESSIONATTRS", Rule::Only(&["any"], EACH_SERVER)),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS", Rule::Only(&["disable"], EACH_SERVER)),
    ("replication", "", Rule::Only(&["false", "off", "no", "0"], "pgvigil reads by ordinary sessions")),
    (
        "service",
        "PGSERVICE",
        Rule::Refused("service files are not read by this version of pgvigil: write out host, port and user"),
    ),
    (
        "servicefile",
        "PGSERVICEFILE",
        Rule::Refused("service files are not read by this version of pgvigil: write out host, port and user"),
    ),
    ("sslpassword", "", Rule::Refused("give the key without a passphrase, readable by pgvigil alone")),
    ("sslcrl", "PGSSLCRL", Rule::Refused(LATER)),
    ("sslcrldir", "PGSSLCRLDIR", Rule::Refused(LATER)),
    ("require_auth", "PGREQUIREAUTH", Rule::Refused(LATER)),
    ("requirepeer", "PGREQUIREPEER", Rule::Refused(LATER)),
    ("requiressl", "PGREQUIRESSL", Rule::Refused("write sslmode=require")),
    ("sslkeylogfile", "", Rule::Refused(LATER)),
    ("min_protocol_version", "PGMINPROTOCOLVERSION", Rule::Refused(LATER)),
    ("max_protocol_version", "PGMAXPROTOCOLVERSION", Rule::Refused(LATER)),
    ("krbsrvname", "PGKRBSRVNAME", Rule::Refused(KERBEROS)),
    ("gsslib", "PGGSSLIB", Rule::Refused(KERBEROS)),
    ("gssdelegation", "PGGSSDELEGATION", Rule::Refused(KERBEROS)),
];

/// A value, and what set it: the option's name, or the environment variable's.
pub(super) struct Value {
    pub(super) text: String,
    pub(super) source: &'static str,
}

/// The options that are set. Without `Debug`: it holds the password.
#[derive(Default)]
pub(super) struct Conninfo(BTreeMap<&'static str, Value>);

impl Conninfo {
    /// Reads either form.
    pub(super) fn parse(text: &str) -> Result<Self, DsnError> {
        let mut conninfo = Self::default();
        read(text, &mut |name, value, at| conninfo.set(name, value, at))?;
        Ok(conninfo)
    }

    /// Fills in what the environment says and the string does not.
    pub(super) fn fill_from(&mut self, env: &dyn Fn(&str) -> Option<String>) -> Result<(), DsnError> {
        for (name, variable, rule) in OPTIONS {
            if variable.is_empty() || self.0.contains_key(name) {
                continue;
            }
            if let Some(value) = env(variable) {
                self.insert(name, *rule, variable, value)?;
            }
        }
        Ok(())
    }

    /// The value of an option, and what set it.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The value of an option.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).map(|value| value.text.as_str())
    }

    /// As in libpq an empty value is none, and of two the last counts.
    fn insert(&mut self, name: &'static str, rule: Rule, source: &'static str, value: String) -> Result<(), DsnError> {
        if value.is_empty() {
            return Ok(());
        }
        let refused = |why| DsnError::Refused { name: source.to_owned(), why };
        match rule {
            Rule::Used if value.contains('\0') => {
                return Err(DsnError::Value { name: source.to_owned(), expected: "free of NUL" });
            }
            Rule::Used => drop(self.0.insert(name, Value { text: value, source })),
            Rule::Only(harmless, _) if harmless.contains(&value.as_str()) => {}
            Rule::Only(_, why) | Rule::Refused(why) => return Err(refused(why)),
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: String, at: usize) -> Result<(), DsnError> {
        match OPTIONS.iter().find(|(known, ..)| *known == name) {
            Some((name, _, rule)) => self.insert(name, *rule, name, value),
            None => {
                let nearest = crate::nearest::nearest(name, OPTIONS.iter().map(|(known, ..)| *known));
                let may_be_secret = nearest.is_none() && self.0.contains_key("password");
                if may_be_secret || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') || name.len() > 40 {
                    return Err(DsnError::Stray(at));
                }
                Err(DsnError::Unknown { name: name.to_owned(), nearest })
            }
        }
    }
}

/// Takes an option: its name, its value, and where it stands.
pub(super) type Set<'a> = &'a mut dyn FnMut(&str, String, usize) -> Result<(), DsnError>;

/// Hands each option of either form to `set`.
pub(super) fn read(text: &str, set: Set<'_>) -> Result<(), DsnError> {
    match text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
        Some(uri) => read_uri(uri, set),
        None => read_keywords(text, set),
    }
}

/// `name=value …`: values may be quoted, and a backslash takes the next character as it is.
fn read_keywords(text: &str, set: Set<'_>) -> Result<(), DsnError> {
    let mut rest = text.chars().enumerate().peekable();
    loop {
        while rest.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let Some((start, _)) = rest.peek().copied() else { return Ok(()) };
        let mut name = String::new();
        while let Some((_, c)) = rest.next_if(|(_, c)| !c.is_whitespace() && *c != '=') {
            name.push(c);
        }
        while rest.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        if rest.next_if(|(_, c)| *c == '=').is_none() {
            return Err(DsnError::NoEquals(start + name.chars().count()));
        }
        while rest.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let quote = rest.next_if(|(_, c)| *c == '\'');
        let mut value = String::new();
        loop {
            let ends = |c: char| if quote.is_some() { c == '\'' } else { c.is_whitespace() };
            match rest.next_if(|(_, c)| !ends(*c)) {
                Some((_, '\\')) => value.extend(rest.next().map(|(_, c)| c)),
                Some((_, c)) => value.push(c),
                None => break,
            }
        }
        if let Some((at, _)) = quote
            && rest.next().is_none()
        {
            return Err(DsnError::Unclosed(at + 1));
        }
        set(&name, value, start + 1)?;
    }
}

/// `[user[:password]@][host[:port]][/dbname][?name=value&…]`, each part percent-encoded.
fn read_uri(uri: &str, set: Set<'_>) -> Result<(), DsnError> {
    let (base, query) = uri.split_once('?').unwrap_or((uri, ""));
    let (authority, dbname) = base.split_once('/').unwrap_or((base, ""));
    let (login, place) = authority.split_once('@').unwrap_or(("", authority));
    if place.contains('@') || dbname.contains('@') {
        return Err(DsnError::Uri("an @, / or ? in the password is written %40, %2F or %3F"));
    }
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (host, port) = match place.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']').ok_or(DsnError::Uri("[ is not closed"))?;
            let port = if rest.is_empty() { Some("") } else { rest.strip_prefix(':') };
            (host, port.ok_or(DsnError::Uri("only :port may follow ]"))?)
        }
        None => place.split_once(':').unwrap_or((place, "")),
    };
    let parts = [("user", user), ("password", password), ("host", host), ("port", port), ("dbname", dbname)];
    for (name, part) in parts {
        set(name, decode(part)?, 0)?;
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(DsnError::Uri("an option after ? has no ="))?;
        match (decode(name)?.as_str(), decode(value)?) {
            ("ssl", value) if value == "true" => set("sslmode", "require".into(), 0)?,
            (name, value) => set(name, value, 0)?,
        }
    }
    Ok(())
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Result<String, DsnError> {
    let bad = DsnError::Uri("a % is not followed by the two digits of a byte; a plain % is written %25");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digit =
            |at: usize| tail.get(at).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Err(bad) };
        bytes.push(high << 4 | low);
        rest = tail.get(2..).unwrap_or_default();
    }
    String::from_utf8(bytes).map_err(|_| DsnError::Uri("the percent-encoded bytes are not UTF-8"))
}
