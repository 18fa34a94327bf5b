//! Everything that files say about who comes in and how: read whole, and replaced whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::{HeaderName, HeaderValue};
use rustls::ServerConfig;

use super::access::{Caller, Hasher, Tokens};
use super::door::DoorError;
use super::seen::Seen;
use super::tls;
use crate::config::web::Pem;
use crate::config::{self, Holder, Proof, Role, Settings, Web};

/// What is in force.
pub(super) struct Rules {
    /// The web config.
    pub(super) web: Web,
    /// How TLS is spoken; plain HTTP without.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// What stands in the head of every answer.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Bearer tokens.
    pub(super) tokens: Tokens<Caller>,
    /// Users with another role than the one that every user has.
    by_user: BTreeMap<String, Caller>,
    /// Names in certificates.
    pub(super) by_san: Vec<(String, Caller)>,
    /// Whether everybody may look.
    pub(super) open: bool,
}

/// Where the rules come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sources {
    pub(super) web_config: Option<PathBuf>,
    pub(super) access: Vec<Holder>,
}

impl Sources {
    pub(super) fn of(settings: &Settings) -> Self {
        Self { web_config: settings.web_config.clone(), access: settings.access.clone() }
    }
}

impl Rules {
    /// Reads everything. `seen` gets every file that counts, also if the reading fails.
    pub(super) fn read(sources: &Sources, hasher: &Hasher, seen: &mut Seen) -> Result<Self, DoorError> {
        let web = match &sources.web_config {
            Some(path) => {
                seen.about_to_read(path);
                config::web_config(path)?
            }
            None => Web::default(),
        };
        let tls = web.tls.as_ref().map(|tls| tls::server_config(tls, web.http2, seen)).transpose()?;
        let mut rules = Self {
            headers: web.headers.iter().filter_map(|(name, value)| header(name, value)).collect(),
            tls: tls.map(Arc::new),
            tokens: Tokens::new(hasher.clone()),
            by_user: BTreeMap::new(),
            by_san: Vec::new(),
            // Whoever names who may look means that others may not.
            open: web.users.is_empty() && sources.access.iter().all(|holder| holder.role != Role::Viewer),
            web,
        };
        for holder in &sources.access {
            rules.add(holder, seen)?;
        }
        Ok(rules)
    }

    fn add(&mut self, holder: &Holder, seen: &mut Seen) -> Result<(), DoorError> {
        let Holder { name, role, proof } = holder;
        let caller = Caller { name: name.as_str().into(), role: *role };
        let unusable = |what: String| DoorError::Unusable(format!("access of {name}: {what}"));
        match proof {
            Proof::TokenFile(path) => {
                seen.about_to_read(path);
                let text = config::read_small(path, "token_file").map_err(&unusable)?;
                let bad = |why| unusable(format!("token_file {} {why}", path.display()));
                self.tokens.add(&text, caller).map_err(bad)?;
            }
            Proof::User(user) if self.web.users.contains_key(user) => {
                self.by_user.insert(user.clone(), caller);
            }
            Proof::User(user) => {
                return Err(unusable(format!(
                    "basic_auth_users of web_config has no user {user}: add it, or use token_file"
                )));
            }
            Proof::ClientSan(san) if self.web.tls.as_ref().is_some_and(|tls| tls.client_auth.verifies()) => {
                self.by_san.push((san.clone(), caller));
            }
            Proof::ClientSan(_) => {
                let what = "client_san needs a web_config whose client_auth_type is VerifyClientCertIfGiven or \
                            RequireAndVerifyClientCert: no other client certificate says who somebody is";
                return Err(unusable(what.to_owned()));
            }
        }
        Ok(())
    }

    /// What is allowed and yet not well.
    pub(super) fn notes(&self, settings: &Settings) -> Vec<String> {
        let mut secrets: Vec<&Path> = Vec::new();
        secrets.extend(settings.access.iter().filter_map(|holder| match &holder.proof {
            Proof::TokenFile(path) => Some(path.as_path()),
            Proof::User(_) | Proof::ClientSan(_) => None,
        }));
        if let Some(Pem::File(key)) = self.web.tls.as_ref().map(|tls| &tls.key) {
            secrets.push(key);
        }
        let public = secrets.into_iter().filter(|path| is_public(path));
        let mut notes: Vec<_> = public
            .map(|path| format!("{} can be read by everybody: chmod it to 0640 or less", path.display()))
            .collect();
        let has_secrets = !self.web.users.is_empty() || !self.tokens.is_empty();
        if has_secrets && self.tls.is_none() && !settings.listen.ip().is_loopback() {
            notes.push(format!(
                "passwords and tokens travel to {} in clear: set tls_server_config in a web_config",
                settings.listen
            ));
        }
        notes
    }

    /// Who a user with the right password is. Whoever `access` does not name may look.
    pub(super) fn caller_of_user(&self, user: &str) -> Caller {
        let named = self.by_user.get(user).cloned();
        named.unwrap_or_else(|| Caller { name: user.into(), role: Role::Viewer })
    }
}

fn header(name: &'static str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
}

/// Whether anybody on the machine may read a secret.
fn is_public(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o007 != 0)
}
