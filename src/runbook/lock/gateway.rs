//! etcd's JSON gateway: a question to each endpoint in turn, with a deadline for all of them, a login where etcd asks for one, and the
//! few messages of etcd v3 that a lock needs.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use rustls::ClientConfig;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{EtcdSettings, LockError};
use crate::config::Secret;
use crate::patience::OneAtATime;
use crate::peer::{self, PeerError};
use crate::pg::trail::Trail;

/// No answer about our keys is longer.
const MOST_BYTES: usize = 1 << 20;
/// A password is a line.
const MOST_PASSWORD_BYTES: usize = 4 << 10;

/// The gateway of one etcd.
#[derive(Debug)]
pub(super) struct Gateway {
    endpoints: Vec<Url>,
    login: Option<(String, PathBuf)>,
    ca_file: Option<PathBuf>,
    patience: Duration,
    /// The endpoint that answered last is the first to be asked.
    first: AtomicUsize,
    /// With the certificates that were read last.
    client: Mutex<Option<Client>>,
    /// What the last login gave us.
    token: Mutex<Option<HeaderValue>>,
    certificates: OneAtATime<Result<ClientConfig, PeerError>>,
    password: OneAtATime<Result<Secret, PeerError>>,
    trail: Trail,
}

/// Why one endpoint gave no answer.
enum Failure {
    /// Another may.
    Here(String),
    /// No other would.
    Everywhere(LockError),
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        Self::Everywhere(error)
    }
}

impl Gateway {
    /// Asks nothing yet. No question takes longer than `patience`, over all endpoints.
    pub(super) fn new(settings: &EtcdSettings, patience: Duration) -> Self {
        let login = settings.user.clone().zip(settings.password_file.clone());
        Self {
            endpoints: settings.endpoints.iter().map(bare).collect(),
            login,
            ca_file: settings.ca_file.clone(),
            patience,
            first: AtomicUsize::new(0),
            client: Mutex::default(),
            token: Mutex::default(),
            certificates: OneAtATime::default(),
            password: OneAtATime::default(),
            trail: Trail::default(),
        }
    }

    /// What `path` answers to this question. After an error it is not known whether it was done: only what may be done twice is asked.
    pub(super) async fn call<T: DeserializeOwned>(&self, path: &str, question: &Value) -> Result<T, LockError> {
        let end = Instant::now() + self.patience;
        let count = self.endpoints.len();
        let first = self.first.load(Ordering::Relaxed);
        let mut whys = Vec::new();
        for (turn, (at, endpoint)) in self.endpoints.iter().enumerate().cycle().skip(first).take(count).enumerate() {
            // An endpoint that says nothing leaves the others their share of the time.
            let others = u32::try_from(count - turn).unwrap_or(u32::MAX);
            let share = end.saturating_duration_since(Instant::now()) / others;
            let why = match timeout(share, self.ask(endpoint, path, question)).await {
                Ok(Ok(answer)) => {
                    self.first.store(at, Ordering::Relaxed);
                    return parsed(endpoint, &answer);
                }
                Ok(Err(Failure::Everywhere(error))) => return Err(error),
                Ok(Err(Failure::Here(why))) => why,
                Err(_) => {
                    self.forget_certificates();
                    format!("nothing within {} ms", share.as_millis())
                }
            };
            whys.push(format!("{endpoint}: {why}"));
        }
        Err(LockError::NoAnswer { why: whys.join("; ") })
    }

    async fn ask(&self, endpoint: &Url, path: &str, question: &Value) -> Result<Vec<u8>, Failure> {
        let known = self.token().is_some();
        match self.ask_as_ourselves(endpoint, path, question).await {
            // A login lasts for minutes, and not over a restart of etcd.
            Err(Failure::Everywhere(error)) if known && wants_a_login(&error) => {
                *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
                self.ask_as_ourselves(endpoint, path, question).await
            }
            answer => answer,
        }
    }

    async fn ask_as_ourselves(&self, endpoint: &Url, path: &str, question: &Value) -> Result<Vec<u8>, Failure> {
        let mut token = self.token();
        if let (None, Some((user, file))) = (&token, &self.login) {
            token = Some(self.log_in(endpoint, user, file).await?);
            self.token.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&token);
        }
        self.post(endpoint, path, question, token).await
    }

    async fn log_in(&self, endpoint: &Url, user: &str, file: &Path) -> Result<HeaderValue, Failure> {
        let password = self.password(file).await?;
        let question = json!({"name": user, "password": password.reveal()});
        let answer = self.post(endpoint, "/v3/auth/authenticate", &question, None).await?;
        let answer: Value = parsed(endpoint, &answer)?;
        let strange = || LockError::Strange { url: endpoint.clone(), why: "its login gave no token".to_owned() };
        let mut token = HeaderValue::try_from(answer["token"].as_str().unwrap_or_default()).map_err(|_| strange())?;
        if token.is_empty() {
            return Err(strange().into());
        }
        token.set_sensitive(true);
        Ok(token)
    }

    async fn post(
        &self,
        endpoint: &Url,
        path: &str,
        question: &Value,
        token: Option<HeaderValue>,
    ) -> Result<Vec<u8>, Failure> {
        let client = self.client().await?;
        let mut url = endpoint.clone();
        url.set_path(path);
        let mut request = client.post(url).header(CONTENT_TYPE, "application/json").body(question.to_string());
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        let lost = |error: reqwest::Error| {
            self.forget_certificates();
            Failure::Here(peer::chain(&error.without_url()))
        };
        let answer = request.send().await.map_err(lost)?;
        let status = answer.status();
        let body = whole(answer, endpoint).await?;
        if status.is_success() {
            return Ok(body);
        }
        let why = peer::word(&body);
        // A member without a leader, or one that is behind, says so; another may have one.
        let passing = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT];
        if status.is_server_error() || passing.contains(&status) {
            return Err(Failure::Here(format!("{status}, {why}")));
        }
        Err(LockError::Refused { url: endpoint.clone(), status, why }.into())
    }

    fn token(&self) -> Option<HeaderValue> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Certificates of our own are read again when the old ones do not do.
    fn forget_certificates(&self) {
        if self.ca_file.is_some() {
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    async fn client(&self) -> Result<Client, LockError> {
        if let Some(client) = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(client);
        }
        let (file, trail) = (self.ca_file.clone(), self.trail.clone());
        let read = move || {
            file.iter().for_each(|file| trail.about_to_read(file));
            peer::tls(file.as_deref())
        };
        let tls = self.certificates.within(self.patience, read).await;
        let tls = tls.and_then(Result::ok).unwrap_or_else(|| Err(self.hangs("CA file")))?;
        let client =
            peer::client(tls, self.patience).map_err(|error| LockError::NoAnswer { why: peer::chain(&error) })?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }

    async fn password(&self, file: &Path) -> Result<Secret, LockError> {
        let (file, trail) = (file.to_owned(), self.trail.clone());
        let read = move || {
            trail.about_to_read(&file);
            password(&file)
        };
        let password = self.password.within(self.patience, read).await;
        Ok(password.and_then(Result::ok).unwrap_or_else(|| Err(self.hangs("password file")))?)
    }

    fn hangs(&self, what: &'static str) -> PeerError {
        let why = "it cannot be read: is its file system well?".to_owned();
        PeerError::File { what, path: self.trail.last().unwrap_or_default(), why }
    }
}

/// Whether etcd refused because it does not know our login any more.
fn wants_a_login(error: &LockError) -> bool {
    match error {
        LockError::Refused { status, why, .. } => {
            *status == StatusCode::UNAUTHORIZED || why.contains("revision of auth store is old")
        }
        _ => false,
    }
}

/// An endpoint without what no error may show.
fn bare(endpoint: &Url) -> Url {
    let mut endpoint = endpoint.clone();
    // These fail only where a URL can have neither.
    let _ = endpoint.set_username("");
    let _ = endpoint.set_password(None);
    endpoint.set_query(None);
    endpoint.set_fragment(None);
    endpoint.set_path("");
    endpoint
}

/// The first JSON value of an answer: some of them are streams.
fn parsed<T: DeserializeOwned>(endpoint: &Url, body: &[u8]) -> Result<T, LockError> {
    let strange = |why: String| LockError::Strange { url: endpoint.clone(), why };
    let first = serde_json::Deserializer::from_slice(body).into_iter().next();
    first.ok_or_else(|| strange("an empty answer".to_owned()))?.map_err(|error| strange(error.to_string()))
}

/// The body, as long as it is not too long.
async fn whole(mut answer: Response, endpoint: &Url) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        match answer.chunk().await.map_err(|error| Failure::Here(peer::chain(&error.without_url())))? {
            None => return Ok(body),
            Some(piece) if body.len() + piece.len() > MOST_BYTES => {
                let why = format!("an answer of more than {} MiB", MOST_BYTES >> 20);
                return Err(LockError::Strange { url: endpoint.clone(), why }.into());
            }
            Some(piece) => body.extend_from_slice(&piece),
        }
    }
}

fn password(file: &Path) -> Result<Secret, PeerError> {
    let bad = |why: String| PeerError::File { what: "password file", path: file.to_owned(), why };
    let text = std::fs::read_to_string(file).map_err(|error| bad(error.to_string()))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() > MOST_PASSWORD_BYTES || password.contains('\n') {
        return Err(bad("it does not hold one line with a password".to_owned()));
    }
    Ok(Secret::new(password))
}
