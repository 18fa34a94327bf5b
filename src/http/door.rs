//! The door: what is in force of the web config, the tokens and the certificates. Files that change are read anew by themselves; what
//! cannot be used leaves the old in force, with a word in the log.

use std::convert::Infallible;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::access::{Hasher, Passwords};
use super::rate::Bucket;
use super::rules::{Rules, Sources, is_public};
use super::seen::Seen;
use super::seldom::Seldom;
use crate::clock::Mono;
use crate::config::web::{Pem, Rate};
use crate::config::{ConfigError, Proof, Settings};

/// The files are looked at so often. A change counts when it was seen twice the same, so that a certificate and its key come together.
const LOOK_EACH: Duration = Duration::from_millis(500);

/// Why the door cannot be made as configured. Safe to show.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The web config.
    #[error(transparent)]
    Web(#[from] ConfigError),
    /// Something that it, or `access`, names.
    #[error("{0}")]
    Unusable(String),
}

/// Who comes in, and how.
pub struct Door {
    sources: Mutex<Sources>,
    rules: RwLock<Arc<Rules>>,
    /// What the rules were read from.
    seen: Mutex<Seen>,
    hasher: Hasher,
    passwords: Passwords,
    bucket: Mutex<Bucket>,
    refusals: Seldom,
}

impl Door {
    /// Reads everything that the settings name.
    pub fn open(settings: &Settings) -> Result<Self, DoorError> {
        let no_random = || DoorError::Unusable("the system gave no random numbers".to_owned());
        let hasher = Hasher::new().ok_or_else(no_random)?;
        let sources = Sources { web_config: settings.web_config.clone(), access: settings.access.clone() };
        let mut seen = Seen::default();
        let rules = Rules::read(&sources, &hasher, &mut seen)?;
        Ok(Self {
            sources: Mutex::new(sources),
            rules: RwLock::new(Arc::new(rules)),
            seen: Mutex::new(seen),
            passwords: Passwords::new(hasher.clone()),
            hasher,
            bucket: Mutex::default(),
            refusals: Seldom::default(),
        })
    }

    /// What is allowed and yet not well.
    pub fn notes(&self, settings: &Settings) -> Vec<String> {
        let rules = self.rules();
        let mut secrets: Vec<&Path> = Vec::new();
        secrets.extend(settings.access.iter().filter_map(|holder| match &holder.proof {
            Proof::TokenFile(path) => Some(path.as_path()),
            Proof::User(_) | Proof::ClientSan(_) => None,
        }));
        if let Some(Pem::File(key)) = rules.web.tls.as_ref().map(|tls| &tls.key) {
            secrets.push(key);
        }
        let public = secrets.into_iter().filter(|path| is_public(path));
        let mut notes: Vec<_> = public
            .map(|path| format!("{} can be read by everybody: chmod it to 0640 or less", path.display()))
            .collect();
        let has_secrets = !rules.web.users.is_empty() || !rules.tokens.is_empty();
        if has_secrets && rules.tls.is_none() && !settings.listen.ip().is_loopback() {
            notes.push(format!(
                "passwords and tokens travel to {} in clear: set tls_server_config in a web_config",
                settings.listen
            ));
        }
        notes
    }

    /// Whether HTTP/2 is spoken, which is decided once.
    pub(super) fn offers_http2(&self) -> bool {
        let rules = self.rules();
        rules.tls.is_some() && rules.web.http2
    }

    /// What is in force.
    pub(super) fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Takes a place for one request; `Some`: there is none before so long.
    pub(super) fn wait_of(&self, rate: Rate, now: Mono) -> Option<Duration> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(rate, now)
    }

    /// Tells now and then that a request was refused.
    pub(super) fn tell_refusal(&self, from: Option<IpAddr>, name: Option<&str>, only_looks: bool) {
        let Some(unsaid) = self.refusals.tell(Mono::now()) else { return };
        let from = from.map_or_else(|| "an unknown address".to_owned(), |from| from.to_string());
        let name = name.unwrap_or("nobody that `access` names");
        let what = if only_looks { "to look" } else { "to change something" };
        tracing::warn!(unsaid, "an HTTP request {what} by {name} from {from} was refused");
    }

    /// Puts other settings in force, if they can be: without, everything stays as it is. Whether TLS and HTTP/2 are spoken at all is
    /// decided when pgvigil starts.
    pub fn change(&self, settings: &Settings) -> Result<(), DoorError> {
        let sources = Sources { web_config: settings.web_config.clone(), access: settings.access.clone() };
        self.read(&sources)?;
        *self.sources.lock().unwrap_or_else(PoisonError::into_inner) = sources;
        Ok(())
    }

    fn read(&self, sources: &Sources) -> Result<(), DoorError> {
        let mut seen = Seen::default();
        let read = Rules::read(sources, &self.hasher, &mut seen);
        {
            let mut known = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if read.is_err() {
                // To put the old files back is a change too.
                seen.add_again(&known);
            }
            *known = seen;
        }
        let rules = read?;
        let old = self.rules();
        if rules.tls.is_some() != old.tls.is_some() {
            let what = "tls_server_config came or went, which needs a restart of pgvigil".to_owned();
            return Err(DoorError::Unusable(what));
        }
        if rules.tls.is_some() && rules.web.http2 != old.web.http2 {
            return Err(DoorError::Unusable("http2 was changed, which needs a restart of pgvigil".to_owned()));
        }
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        self.passwords.forget();
        Ok(())
    }

    /// Looks at the files for ever.
    pub(super) async fn keep(self: Arc<Self>) -> Infallible {
        let mut ticks = tokio::time::interval(LOOK_EACH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Seen::default();
        loop {
            ticks.tick().await;
            if self.seen.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                continue;
            }
            let (door, earlier) = (self.clone(), last);
            // A file system may hang.
            last = tokio::task::spawn_blocking(move || door.look(&earlier)).await.unwrap_or_default();
        }
    }

    /// Looks once; `earlier` is what the last look saw.
    fn look(&self, earlier: &Seen) -> Seen {
        let known = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let seen = known.again();
        if seen == known || seen != *earlier {
            return seen;
        }
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match self.read(&sources) {
            Ok(()) => tracing::info!("web_config, certificates and tokens were read anew"),
            Err(error) => tracing::warn!("{error}; what was read before stays in force"),
        }
        seen
    }
}

#[cfg(test)]
mod tests;
