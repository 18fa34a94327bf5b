//! The right to act on one cluster: of several pgvigil that heard the same alert, one gets it. `docs/lock.md` says what is in etcd.
//!
//! A lease alone is no safety, since a process may be suspended between a look and a deed. So [`Held::check`] is called right before each
//! side effect, [`Held::token`] goes to whoever can refuse a lower one, and [`Held::decide`] keeps a successor to the same decision.

mod etcd;
mod gateway;

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use etcd::Etcd;

use crate::peer::PeerError;

/// Where etcd answers, and what is ours in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdSettings {
    /// Members of one etcd, http or https; they are tried in turn. A user or a path in them counts for nothing.
    pub endpoints: Vec<Url>,
    /// What our keys begin with.
    pub prefix: String,
    /// For how long a lock outlives its holder; etcd counts whole seconds, and no fewer than 1.5 of its election timeouts.
    pub ttl: Duration,
    /// Who we are to etcd, if it asks.
    pub user: Option<String>,
    /// The file of the password; read at each login, so that a rotated one counts.
    pub password_file: Option<PathBuf>,
    /// The certificates to trust, PEM; those of the system if there is none.
    pub ca_file: Option<PathBuf>,
}

impl EtcdSettings {
    /// What keys begin with, unless another prefix is set.
    pub const PREFIX: &str = "/pgvigil";
    /// For how long a lock outlives its holder, unless that is set.
    pub const TTL: Duration = Duration::from_secs(30);

    /// These endpoints, and the defaults.
    pub fn of(endpoints: Vec<Url>) -> Self {
        let (prefix, ttl) = (Self::PREFIX.to_owned(), Self::TTL);
        Self { endpoints, prefix, ttl, user: None, password_file: None, ca_file: None }
    }
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The id of the run.
    pub run: String,
    /// The pgvigil, by a name that no other has.
    pub instance: String,
}

/// Where the right to act comes from.
#[derive(Debug)]
pub enum Lock {
    /// From etcd.
    Etcd(Etcd),
    /// There is one pgvigil that acts, by the config's own word: the lock is always held.
    Single,
}

/// Whether we hold it.
#[derive(Debug)]
pub enum Acquired {
    /// We do.
    Held(Held),
    /// Another run does, or another pgvigil.
    Elsewhere(Holder),
}

/// What became of a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Decided {
    /// It is written, by us.
    Ours,
    /// Another was written before, and stays: keep to it, or stop. It may say the same.
    Found(Value),
}

/// A lock that is held, and renewed until this is dropped. After that it is free when its time is over, [`Held::release`] frees it at once.
#[derive(Debug)]
pub struct Held(Kind);

#[derive(Debug)]
enum Kind {
    Single,
    Etcd(etcd::Lease),
}

/// Why nothing may be done. Safe to show.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// No endpoint answered, so that it is not known whose the lock is.
    #[error(
        "etcd does not answer ({why}): nothing is done without the lock; is etcd up, has it a leader, and can it be reached from here?"
    )]
    NoAnswer {
        /// What each endpoint did.
        why: String,
    },
    /// It answered, and refused.
    #[error("etcd at {url} answers {status}: {why}")]
    Refused {
        /// Which endpoint.
        url: Url,
        /// The status.
        status: StatusCode,
        /// Its word.
        why: String,
    },
    /// It answered something else than etcd does.
    #[error("{url} does not answer like etcd's gateway: {why}; is it the client address of etcd 3.4 or newer?")]
    Strange {
        /// Which endpoint.
        url: Url,
        /// What is wrong.
        why: String,
    },
    /// A key of ours holds what we did not write.
    #[error("{key} in etcd holds what pgvigil did not write: {why}; remove it, or give pgvigil another prefix")]
    Foreign {
        /// Which key.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// A decision that etcd is no place for.
    #[error("a decision of {bytes} bytes is not written to etcd, where {most} are the most")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// What is allowed.
        most: usize,
    },
    /// A file of ours cannot be used.
    #[error(transparent)]
    File(#[from] PeerError),
    /// It was ours, and is not any more. Nothing brings it back.
    #[error("the lock {key} is lost: {}", .to.as_ref().map_or_else(|| "another may hold it".to_owned(), |to| format!("run {} of {} holds it", to.run, to.instance)))]
    Lost {
        /// Which key.
        key: String,
        /// Who holds it now, if that is known.
        to: Option<Holder>,
    },
    /// It may be another's before a deed of ours is done.
    #[error("the lock {key} was renewed {:.1} s ago and lasts {:.1} s: nothing is done in its last third{}", .ago.as_secs_f64(), .ttl.as_secs_f64(), .trouble.as_ref().map(|why| format!("; {why}")).unwrap_or_default())]
    Late {
        /// Which key.
        key: String,
        /// For how long it was not renewed.
        ago: Duration,
        /// For how long it lasts.
        ttl: Duration,
        /// What the last renewal met.
        trouble: Option<String>,
    },
}

impl Lock {
    /// Takes the lock on a cluster if it is free, or if the same run of the same instance held it before a restart. Waits for nobody.
    pub async fn acquire(&self, system_identifier: u64, holder: &Holder) -> Result<Acquired, LockError> {
        match self {
            Self::Single => Ok(Acquired::Held(Held(Kind::Single))),
            Self::Etcd(etcd) => etcd.acquire(system_identifier, holder).await,
        }
    }
}

impl Held {
    /// The number of this holding: larger than that of every one before, and the same after a restart if nobody held the lock in between.
    /// 0 without etcd, where the caller counts.
    pub fn token(&self) -> u64 {
        match &self.0 {
            Kind::Single => 0,
            Kind::Etcd(lease) => lease.token(),
        }
    }

    /// Right before each side effect: whether the lock is still ours, by etcd's own word, and was renewed within two thirds of its time.
    /// An error may pass, but for [`LockError::Lost`]; until it has, nothing may be done.
    pub async fn check(&self) -> Result<(), LockError> {
        match &self.0 {
            Kind::Single => Ok(()),
            Kind::Etcd(lease) => lease.check().await,
        }
    }

    /// Writes what an episode's runs will do, if no run has written it before. It stays, whoever holds the lock later.
    /// Without etcd it is always ours: the caller's journal remembers.
    pub async fn decide(&self, episode: &str, decision: &Value) -> Result<Decided, LockError> {
        match &self.0 {
            Kind::Single => Ok(Decided::Ours),
            Kind::Etcd(lease) => lease.decide(episode, decision).await,
        }
    }

    /// Frees the lock. After an error it is free at the latest when its time is over.
    pub async fn release(self) -> Result<(), LockError> {
        match self.0 {
            Kind::Single => Ok(()),
            Kind::Etcd(lease) => lease.release().await,
        }
    }
}
