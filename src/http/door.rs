//! The door: what is in force of the web config, the tokens and the certificates. Files that change are read anew by themselves; what
//! cannot be used leaves the old in force, with a word in the log.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::access::{Hasher, Passwords};
use super::rate::Bucket;
use super::rules::{Rules, Sources};
use super::seen::Seen;
use super::seldom::Seldom;
use crate::clock::Mono;
use crate::config::web::Rate;
use crate::config::{ConfigError, Settings};

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
    rules: RwLock<Arc<Rules>>,
    /// Held while the rules are replaced, and not while files are read.
    origin: Mutex<Origin>,
    hasher: Hasher,
    passwords: Passwords,
    bucket: Mutex<Bucket>,
    refusals: Seldom,
}

/// What the rules were read from.
#[derive(Clone, PartialEq)]
struct Origin {
    sources: Sources,
    seen: Seen,
}

/// Rules that were read and can be put in force.
pub struct Prepared {
    rules: Rules,
    origin: Origin,
}

impl Prepared {
    /// What is allowed and yet not well.
    pub fn notes(&self, settings: &Settings) -> Vec<String> {
        self.rules.notes(settings)
    }
}

impl Door {
    /// Reads everything that the settings name.
    pub fn open(settings: &Settings) -> Result<Self, DoorError> {
        let no_random = || DoorError::Unusable("the system gave no random numbers".to_owned());
        let hasher = Hasher::new().ok_or_else(no_random)?;
        let mut origin = Origin { sources: Sources::of(settings), seen: Seen::default() };
        let rules = Rules::read(&origin.sources, &hasher, &mut origin.seen)?;
        Ok(Self {
            rules: RwLock::new(Arc::new(rules)),
            origin: Mutex::new(origin),
            passwords: Passwords::new(hasher.clone()),
            hasher,
            bucket: Mutex::default(),
            refusals: Seldom::default(),
        })
    }

    /// What is allowed and yet not well.
    pub fn notes(&self, settings: &Settings) -> Vec<String> {
        self.rules().notes(settings)
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
        let Some(left_out) = self.refusals.tell(Mono::now()) else { return };
        let from = from.map_or_else(|| "an unknown address".to_owned(), |from| from.to_string());
        let name = name.unwrap_or("nobody that `access` names");
        let what = if only_looks { "to look" } else { "to change something" };
        tracing::warn!(left_out, "an HTTP request {what} by {name} from {from} was refused");
    }

    /// Reads everything that other settings name, which may take as long as the file system does, and changes nothing.
    pub fn prepare(&self, settings: &Settings) -> Result<Prepared, DoorError> {
        let mut origin = Origin { sources: Sources::of(settings), seen: Seen::default() };
        let rules = self.read(&mut origin)?;
        Ok(Prepared { rules, origin })
    }

    /// Puts in force what was read.
    pub fn take_in(&self, prepared: Prepared) {
        self.replace(&mut self.origin(), prepared);
    }

    fn replace(&self, origin: &mut Origin, prepared: Prepared) {
        *origin = prepared.origin;
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(prepared.rules);
        self.passwords.forget();
    }

    fn origin(&self) -> MutexGuard<'_, Origin> {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the sources; what was seen of them counts also if that fails. Whether TLS and HTTP/2 are spoken at all is decided when
    /// pgvigil starts.
    fn read(&self, origin: &mut Origin) -> Result<Rules, DoorError> {
        let rules = Rules::read(&origin.sources, &self.hasher, &mut origin.seen)?;
        let old = self.rules();
        if rules.tls.is_some() != old.tls.is_some() {
            let what = "tls_server_config came or went, which needs a restart of pgvigil".to_owned();
            return Err(DoorError::Unusable(what));
        }
        if rules.tls.is_some() && rules.web.http2 != old.web.http2 {
            return Err(DoorError::Unusable("http2 was changed, which needs a restart of pgvigil".to_owned()));
        }
        Ok(rules)
    }

    /// Looks at the files for ever.
    pub(super) async fn keep(self: Arc<Self>) -> Infallible {
        let mut ticks = tokio::time::interval(LOOK_EACH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Seen::default();
        loop {
            ticks.tick().await;
            if self.origin().seen.is_empty() {
                continue;
            }
            let (door, earlier) = (self.clone(), last);
            // A file system may hang.
            last = tokio::task::spawn_blocking(move || door.look(&earlier)).await.unwrap_or_default();
        }
    }

    /// Looks once; `earlier` is what the last look saw.
    fn look(&self, earlier: &Seen) -> Seen {
        let known = self.origin().clone();
        let seen = known.seen.again();
        if seen == known.seen || seen != *earlier {
            return seen;
        }
        let mut origin = Origin { sources: known.sources.clone(), seen: Seen::default() };
        let read = self.read(&mut origin);
        let mut current = self.origin();
        // Another config came meanwhile, and counts.
        if *current != known {
            return seen;
        }
        match read {
            Ok(rules) => {
                self.replace(&mut current, Prepared { rules, origin });
                tracing::info!("web_config, certificates and tokens were read anew");
            }
            Err(error) => {
                // To put the old files back is a change too.
                origin.seen.add_again(&known.seen);
                *current = origin;
                tracing::warn!("{error}; what was read before stays in force");
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests;
