//! libpq's connection strings, in both forms, as text: which options there are, which of them count here, and why others are refused.
//! No error shows a value: it may be a password, or the rest of one that was not quoted.

mod service;
mod uri;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::trail::Trail;

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
    /// The name of an option that no option can have.
    #[error("the name of an option holds something other than letters, digits and _")]
    Name,
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
    /// A service file that cannot be used.
    #[error("service file {path}: {why}", path = .path.display())]
    ServiceFile {
        /// Where it is.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// No service file has the service.
    #[error("no service {name:?} is in {looked}: add a section [{name}], or name another service")]
    NoService {
        /// What was asked for.
        name: String,
        /// The files that were looked into.
        looked: String,
    },
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
const REVOKED: &str =
    "pgvigil reads no revocation lists: take the authority of a revoked certificate out of sslrootcert";
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
    ("sslsni", "PGSSLSNI", Rule::Used),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", Rule::Used),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Rule::Used),
    ("service", "PGSERVICE", Rule::Used),
    ("client_encoding", "", Rule::Only(&["UTF8", "utf8", "UTF-8", "utf-8", "auto"], "pgvigil always speaks UTF8")),
    ("gssencmode", "PGGSSENCMODE", Rule::Only(&["disable", "prefer"], KERBEROS)),
    ("sslcompression", "", Rule::Only(&["0"], "TLS compression is not safe")),
    ("sslnegotiation", "PGSSLNEGOTIATION", Rule::Only(&["postgres"], LATER)),
    ("sslcertmode", "PGSSLCERTMODE", Rule::Only(&["allow"], LATER)),
    ("target_session_attrs", "PGTARGETSESSIONATTRS", Rule::Only(&["any"], EACH_SERVER)),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS", Rule::Only(&["disable"], EACH_SERVER)),
    ("replication", "", Rule::Only(&["false", "off", "no", "0"], "pgvigil reads by ordinary sessions")),
    ("servicefile", "", Rule::Refused("name the file in PGSERVICEFILE")),
    (
        "sslpassword",
        "",
        Rule::Refused("give the key without a passphrase (openssl pkey removes it), readable by pgvigil alone"),
    ),
    ("sslcrl", "PGSSLCRL", Rule::Refused(REVOKED)),
    ("sslcrldir", "PGSSLCRLDIR", Rule::Refused(REVOKED)),
    ("require_auth", "PGREQUIREAUTH", Rule::Refused(LATER)),
    ("requirepeer", "PGREQUIREPEER", Rule::Refused(LATER)),
    ("sslkeylogfile", "", Rule::Refused(LATER)),
    ("min_protocol_version", "PGMINPROTOCOLVERSION", Rule::Refused(LATER)),
    ("max_protocol_version", "PGMAXPROTOCOLVERSION", Rule::Refused(LATER)),
    ("krbsrvname", "PGKRBSRVNAME", Rule::Refused(KERBEROS)),
    ("gsslib", "PGGSSLIB", Rule::Refused(KERBEROS)),
    ("gssdelegation", "PGGSSDELEGATION", Rule::Refused(KERBEROS)),
];

/// A value, and what set it: the option's name, or the environment variable's.
#[derive(Clone)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) source: &'static str,
}

/// The options that are set. Without `Debug`: it holds the password.
#[derive(Clone, Default)]
pub(super) struct Conninfo(BTreeMap<&'static str, Value>);

impl Conninfo {
    /// Reads either form.
    pub(super) fn parse(text: &str) -> Result<Self, DsnError> {
        let mut conninfo = Self::default();
        read(text, &mut |name, value, at| conninfo.set(name, value, at))?;
        Ok(conninfo)
    }

    /// Reads either form of a string of clients, with the `target_session_attrs` that it has.
    pub(super) fn parse_of_clients(text: &str) -> Result<(Self, Option<String>), DsnError> {
        let (mut conninfo, mut wanted) = (Self::default(), None);
        read(text, &mut |name, value, at| match name {
            "target_session_attrs" => {
                wanted = Some(value);
                Ok(())
            }
            // Whoever is tried first: each of them may be.
            "load_balance_hosts" => Ok(()),
            name => conninfo.set(name, value, at),
        })?;
        Ok((conninfo, wanted))
    }

    /// Each of the servers that it names by itself.
    pub(super) fn each(&self) -> Result<Vec<Self>, DsnError> {
        let list =
            |name: &str| self.get(name).map(|value| value.text.split(',').map(str::to_owned).collect::<Vec<_>>());
        let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port").unwrap_or_default());
        let count = addresses.as_ref().or(hosts.as_ref()).map_or(1, Vec::len);
        let fits = |list: &Option<Vec<String>>| list.as_ref().is_none_or(|list| list.len() == count);
        if !fits(&hosts) || !fits(&addresses) || ports.len() > 1 && ports.len() != count {
            let expected = "as many as there are servers, or one port for all";
            return Err(DsnError::Value { name: "the list of host, hostaddr or port".to_owned(), expected });
        }
        let one = |index: usize| {
            let mut one = self.clone();
            let of = |list: &Option<Vec<String>>| list.as_ref().and_then(|list| list.get(index).cloned());
            let port = ports.get(index).or(ports.first()).cloned();
            for (name, value) in [("host", of(&hosts)), ("hostaddr", of(&addresses)), ("port", port)] {
                match value.filter(|value| !value.is_empty()) {
                    Some(text) => drop(one.0.insert(name, Value { text, source: name })),
                    None => drop(one.0.remove(name)),
                }
            }
            one
        };
        Ok((0..count).map(one).collect())
    }

    /// Fills in what the service of the string or of the environment says, and the string does not. `home`: of this user.
    pub(super) fn fill_from_service(
        &mut self,
        env: &dyn Fn(&str) -> Option<String>,
        home: Option<&Path>,
        trail: &Trail,
    ) -> Result<(), DsnError> {
        let named = self.0.get("service").map(|value| value.text.clone());
        let Some(service) = named.or_else(|| env("PGSERVICE")) else { return Ok(()) };
        let mut found = Self::default();
        service::read(&service, env, home, trail, &mut |name, value| {
            // Here the first counts.
            if found.0.contains_key(name) { Ok(()) } else { found.set(name, value, 0) }
        })?;
        for (name, value) in found.0 {
            self.0.entry(name).or_insert(value);
        }
        Ok(())
    }

    /// Fills in what the environment says and neither the string nor its service does.
    pub(super) fn fill_from(&mut self, env: &dyn Fn(&str) -> Option<String>) -> Result<(), DsnError> {
        for (name, variable, rule) in OPTIONS {
            if variable.is_empty() || self.0.contains_key(name) {
                continue;
            }
            if let Some(value) = env(variable) {
                self.insert(name, *rule, variable, value)?;
            }
        }
        // Older than sslmode, and still read by libpq.
        if !self.0.contains_key("sslmode") && env("PGREQUIRESSL").is_some_and(|value| value.starts_with('1')) {
            self.0.insert("sslmode", Value { text: "require".to_owned(), source: "PGREQUIRESSL" });
        }
        Ok(())
    }

    /// Logs in as somebody else, whose password nothing here says but `password`.
    pub(super) fn log_in_as(&mut self, user: &str, dbname: &str, password: Option<&str>) {
        self.0.remove("password");
        for (name, value) in [("user", Some(user)), ("dbname", Some(dbname)), ("password", password)] {
            if let Some(value) = value {
                self.0.insert(name, Value { text: value.to_owned(), source: name });
            }
        }
    }

    /// The value of an option, and what set it. As in libpq an empty value is none, and no other counts in its place.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.given(name).filter(|value| !value.text.is_empty())
    }

    /// The same for an option whose value cannot be empty.
    pub(super) fn given(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The value of an option.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).map(|value| value.text.as_str())
    }

    /// Of two values the last counts.
    fn insert(&mut self, name: &'static str, rule: Rule, source: &'static str, value: String) -> Result<(), DsnError> {
        let refused = |why| DsnError::Refused { name: source.to_owned(), why };
        match rule {
            Rule::Only(..) | Rule::Refused(_) if value.is_empty() => {}
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
        // Older than sslmode, and still read by libpq.
        let (name, value) = match name {
            "requiressl" if value.starts_with('1') => ("sslmode", "require".to_owned()),
            "requiressl" => ("sslmode", "prefer".to_owned()),
            name => (name, value),
        };
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
        Some(uri) => uri::read(uri, set),
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
