//! The lock in etcd: a key bound to a lease. Who creates the key holds the lock, by the revision at which it was created.
//!
//! Every question here may be asked twice, since an answer can be lost: our own lease on the key says that it was us.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::gateway::Gateway;
use super::{Acquired, Decided, EtcdSettings, Held, Holder, Kind, LockError};
use crate::clock::Mono;

/// No question takes longer, however long the lease is.
const LONGEST_QUESTION: Duration = Duration::from_secs(5);
/// A decision names a candidate and why; etcd is no place for more.
const MOST_DECISION_BYTES: usize = 64 << 10;
/// How often a key that changes while we try to take it is tried again.
const MOST_TRIES: usize = 4;
const TXN: &str = "/v3/kv/txn";

/// Locks in one etcd.
#[derive(Debug)]
pub struct Etcd {
    gateway: Arc<Gateway>,
    prefix: String,
    ttl: Duration,
}

/// A held lock.
#[derive(Debug)]
pub(super) struct Lease {
    shared: Arc<Shared>,
    token: u64,
    run: String,
    decisions: String,
    renewal: Renewal,
}

/// What the renewal and the holder both look at.
#[derive(Debug)]
struct Shared {
    gateway: Arc<Gateway>,
    key: String,
    lease: u64,
    ttl: Duration,
    standing: Mutex<Standing>,
}

/// How we stand with etcd.
#[derive(Debug)]
struct Standing {
    /// When we last asked for what etcd then granted: the lease lasts for its TTL from here at least.
    renewed: Mono,
    lost: bool,
    trouble: Option<String>,
}

/// The renewal in the background; dropping it ends it.
#[derive(Debug)]
struct Renewal(JoinHandle<()>);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A lease that etcd gave.
#[derive(Deserialize)]
struct Granted {
    #[serde(rename = "ID", deserialize_with = "number")]
    id: u64,
    /// In seconds; longer than we asked for where etcd has a least one.
    #[serde(rename = "TTL", deserialize_with = "number")]
    ttl: u64,
}

/// The answer to a renewal.
#[derive(Deserialize)]
struct Kept {
    result: Option<Renewed>,
    #[serde(default)]
    error: Value,
}

#[derive(Deserialize)]
struct Renewed {
    /// 0: there is no such lease.
    #[serde(rename = "TTL", default, deserialize_with = "number")]
    ttl: u64,
}

/// A key and what it holds.
#[derive(Deserialize)]
struct Kv {
    value: Option<String>,
    #[serde(default, deserialize_with = "number")]
    create_revision: u64,
    #[serde(default, deserialize_with = "number")]
    mod_revision: u64,
    /// 0: bound to none.
    #[serde(default, deserialize_with = "number")]
    lease: u64,
}

#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<Kv>,
}

#[derive(Deserialize)]
struct Done {
    #[serde(default)]
    succeeded: bool,
    #[serde(default)]
    responses: Vec<OneDone>,
}

#[derive(Deserialize)]
struct OneDone {
    response_range: Option<Range>,
}

/// A decision as it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    token: u64,
    run: String,
    decision: Value,
}

impl Etcd {
    /// Asks nothing yet.
    pub fn new(settings: &EtcdSettings) -> Self {
        let gateway = Arc::new(Gateway::new(settings, (settings.ttl / 3).min(LONGEST_QUESTION)));
        Self { gateway, prefix: settings.prefix.trim_end_matches('/').to_owned(), ttl: settings.ttl }
    }

    pub(super) async fn acquire(&self, system_identifier: u64, holder: &Holder) -> Result<Acquired, LockError> {
        let key = format!("{}/{system_identifier}/holder", self.prefix);
        // Who only looks needs no lease.
        if let Some(kv) = range(&self.gateway, &key).await? {
            let other: Holder = said(&key, Some(&kv))?;
            if other != *holder {
                return Ok(Acquired::Elsewhere(other));
            }
        }
        let renewed = Mono::now();
        let seconds = self.ttl.as_millis().div_ceil(1000).max(1);
        let granted: Granted = self.gateway.call("/v3/lease/grant", &json!({"TTL": seconds.to_string()})).await?;
        let standing = Mutex::new(Standing { renewed, lost: false, trouble: None });
        let (gateway, lease) = (Arc::clone(&self.gateway), granted.id);
        let ttl = self.ttl.min(Duration::from_secs(granted.ttl));
        let shared = Arc::new(Shared { gateway, key, lease, ttl, standing });
        match shared.take(holder).await {
            Ok(Taken::Ours(token)) => {
                let renewal = Renewal(tokio::spawn(renew(Arc::clone(&shared))));
                let decisions = format!("{}/{system_identifier}/decision", self.prefix);
                let lease = Lease { shared, token, run: holder.run.clone(), decisions, renewal };
                Ok(Acquired::Held(Held(Kind::Etcd(lease))))
            }
            // What was sent may still arrive: without its lease it does nothing.
            Ok(Taken::Theirs(other)) => {
                tokio::spawn(async move { shared.revoke().await });
                Ok(Acquired::Elsewhere(other))
            }
            Err(error) => {
                tokio::spawn(async move { shared.revoke().await });
                Err(error)
            }
        }
    }
}

enum Taken {
    /// At this revision.
    Ours(u64),
    Theirs(Holder),
}

impl Lease {
    pub(super) fn token(&self) -> u64 {
        self.token
    }

    pub(super) async fn check(&self) -> Result<(), LockError> {
        self.shared.in_time()?;
        match range(&self.shared.gateway, &self.shared.key).await? {
            Some(kv) if self.is(&kv) => {}
            seen => return Err(self.shared.lost(seen.as_ref())),
        }
        // The look took its time too.
        self.shared.in_time()
    }

    /// Whether a key is the one that we made or took over.
    fn is(&self, kv: &Kv) -> bool {
        kv.lease == self.shared.lease && kv.create_revision == self.token
    }

    pub(super) async fn decide(&self, episode: &str, decision: &Value) -> Result<Decided, LockError> {
        let (lock, key) = (&self.shared.key, format!("{}/{episode}", self.decisions));
        let (token, run) = (self.token, self.run.clone());
        let written = json!(Written { token, run, decision: decision.clone() });
        let bytes = written.to_string().len();
        if bytes > MOST_DECISION_BYTES {
            return Err(LockError::TooLong { bytes, most: MOST_DECISION_BYTES });
        }
        // Only who holds the lock at that very moment may decide.
        let compare = [
            equal(lock, "CREATE", "create_revision", self.token),
            equal(lock, "LEASE", "lease", self.shared.lease),
            equal(&key, "CREATE", "create_revision", 0),
        ];
        let question = json!({
            "compare": compare, "success": [put(&key, &written, 0)], "failure": [look(lock), look(&key)],
        });
        let done: Done = match self.shared.gateway.call(TXN, &question).await {
            Err(LockError::NoAnswer { .. }) => self.shared.gateway.call(TXN, &question).await?,
            answer => answer?,
        };
        if done.succeeded {
            return Ok(Decided::Ours);
        }
        let mut seen = done.seen();
        let holds = seen.next().flatten();
        if !holds.as_ref().is_some_and(|kv| self.is(kv)) {
            return Err(self.shared.lost(holds.as_ref()));
        }
        let found: Written = said(&key, seen.next().flatten().as_ref())?;
        // The answer to our first question may have been lost.
        let ours = found.token == self.token && found.decision == *decision;
        Ok(if ours { Decided::Ours } else { Decided::Found(found.decision) })
    }

    pub(super) async fn release(self) -> Result<(), LockError> {
        let Self { shared, renewal, .. } = self;
        drop(renewal);
        shared.revoke().await
    }
}

impl Shared {
    /// Binds the key to our lease: if it is not there, or by taking it over from ourselves. A take-over keeps the revision at which the key
    /// was created, which proves that nobody held it in between; the lease before ours has no key any more.
    async fn take(&self, holder: &Holder) -> Result<Taken, LockError> {
        let key = &self.key;
        let mut was = 0;
        let mut asked_again = false;
        for _ in 0..MOST_TRIES {
            let question = json!({
                "compare": [equal(key, "MOD", "mod_revision", was)],
                "success": [put(key, &json!(holder), self.lease), look(key)],
                "failure": [look(key)],
            });
            let done: Done = match self.gateway.call(TXN, &question).await {
                Err(LockError::NoAnswer { .. }) if !asked_again => {
                    asked_again = true;
                    continue;
                }
                answer => answer?,
            };
            match done.seen().next().flatten() {
                Some(kv) if kv.lease == self.lease => return Ok(Taken::Ours(kv.create_revision)),
                None => was = 0,
                Some(kv) => match said::<Holder>(key, Some(&kv))? {
                    other if other == *holder => was = kv.mod_revision,
                    other => return Ok(Taken::Theirs(other)),
                },
            }
        }
        Err(LockError::NoAnswer { why: format!("{key} is not to be had in {MOST_TRIES} tries") })
    }

    /// Ends our lease, and with it the key that is bound to it.
    async fn revoke(&self) -> Result<(), LockError> {
        let question = json!({"ID": self.lease.to_string()});
        match self.gateway.call::<Value>("/v3/lease/revoke", &question).await {
            Err(LockError::Refused { why, .. }) if why.contains("lease not found") => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Renews the lease. `false`: etcd does not know it any more.
    async fn keep(&self) -> Result<bool, LockError> {
        let question = json!({"ID": self.lease.to_string()});
        let kept: Kept = self.gateway.call("/v3/lease/keepalive", &question).await?;
        match kept.result {
            Some(kept) => Ok(kept.ttl > 0),
            None => Err(LockError::NoAnswer { why: format!("no renewal: {}", kept.error) }),
        }
    }

    fn in_time(&self) -> Result<(), LockError> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, ttl) = (self.key.clone(), self.ttl);
        let ago = Mono::now().since(standing.renewed);
        if standing.lost {
            Err(LockError::Lost { key, to: None })
        } else if ago * 3 >= ttl * 2 {
            Err(LockError::Late { key, ago, ttl, trouble: standing.trouble.clone() })
        } else {
            Ok(())
        }
    }

    /// From now on it is: this key is not ours, or not there.
    fn lost(&self, seen: Option<&Kv>) -> LockError {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).lost = true;
        LockError::Lost { key: self.key.clone(), to: said(&self.key, seen).ok() }
    }
}

/// Renews the lease each third of its time, and sooner after a failure, until it is lost.
async fn renew(shared: Arc<Shared>) {
    let standing = || shared.standing.lock().unwrap_or_else(PoisonError::into_inner);
    let pace = shared.ttl / 3;
    let renewed = standing().renewed;
    let mut pause = pace.saturating_sub(Mono::now().since(renewed));
    loop {
        sleep(pause).await;
        // The lease lasts from when etcd hears us, which is no earlier than this.
        let began = Mono::now();
        let kept = shared.keep().await;
        let mut standing = standing();
        standing.lost |= matches!(kept, Ok(false));
        if standing.lost {
            return;
        }
        match kept {
            Ok(_) => {
                standing.renewed = began;
                standing.trouble = None;
                pause = pace.saturating_sub(Mono::now().since(began));
            }
            Err(error) => {
                standing.trouble = Some(error.to_string());
                pause = pace / 5;
            }
        }
    }
}

impl Done {
    /// What the looks saw, in their order.
    fn seen(self) -> impl Iterator<Item = Option<Kv>> {
        self.responses.into_iter().filter_map(|done| done.response_range).map(|range| range.kvs.into_iter().next())
    }
}

/// A key as all members agree on it.
async fn range(gateway: &Gateway, key: &str) -> Result<Option<Kv>, LockError> {
    let question = json!({"key": BASE64.encode(key), "serializable": false});
    let range: Range = gateway.call("/v3/kv/range", &question).await?;
    Ok(range.kvs.into_iter().next())
}

fn look(key: &str) -> Value {
    json!({"request_range": {"key": BASE64.encode(key)}})
}

/// Lease 0 is none.
fn put(key: &str, value: &Value, lease: u64) -> Value {
    let (key, value) = (BASE64.encode(key), BASE64.encode(value.to_string()));
    json!({"request_put": {"key": key, "value": value, "lease": lease.to_string()}})
}

fn equal(key: &str, target: &str, field: &str, number: u64) -> Value {
    json!({"key": BASE64.encode(key), "target": target, "result": "EQUAL", field: number.to_string()})
}

/// What a key holds.
fn said<T: DeserializeOwned>(key: &str, kv: Option<&Kv>) -> Result<T, LockError> {
    let foreign = |why: String| LockError::Foreign { key: key.to_owned(), why };
    let text = kv.and_then(|kv| kv.value.as_deref()).ok_or_else(|| foreign("nothing".to_owned()))?;
    let bytes = BASE64.decode(text).map_err(|error| foreign(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| foreign(error.to_string()))
}

/// The JSON of protocol buffers has long numbers as text, and leaves out what is 0.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}
