//! Asking a running pgvigil over its API: for the command line, and for one pgvigil that asks another.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::patience::OneAtATime;
use crate::pg::trail::Trail;

/// No answer of the API is longer.
const MOST_BYTES: usize = 32 << 20;
/// A token is a line.
const MOST_TOKEN_BYTES: usize = 4 << 10;

/// Where a pgvigil answers, and who we are to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Its URL, without a path.
    pub url: Url,
    /// The file of our bearer token; read at each question, so that a rotated one counts.
    pub token_file: Option<PathBuf>,
    /// The certificates to trust, PEM; those of the system if there is none.
    pub ca_file: Option<PathBuf>,
}

impl Address {
    /// Whether our own files are as they should be; asks nobody.
    pub fn check(&self) -> Result<(), PeerError> {
        if let Some(file) = &self.token_file {
            bearer(file)?;
        }
        match &self.ca_file {
            Some(file) => authorities(file).map(drop),
            None => Ok(()),
        }
    }
}

/// Why there is no answer. Safe to show.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// A file of ours.
    #[error("{what} {}: {why}", .path.display())]
    File {
        /// What it is for.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It cannot be reached.
    #[error("{url} does not answer: {why}; is pgvigil serve running there?")]
    Unreachable {
        /// Whom we asked.
        url: Url,
        /// Why.
        why: String,
    },
    /// It answered, and refused.
    #[error("{url} answers {status}: {why}")]
    Refused {
        /// Whom we asked.
        url: Url,
        /// The status.
        status: StatusCode,
        /// Its word.
        why: String,
    },
    /// It answered something else than a pgvigil does.
    #[error("{url} does not answer like a pgvigil of this version: {why}")]
    Strange {
        /// Whom we asked.
        url: Url,
        /// What is wrong.
        why: String,
    },
}

/// A pgvigil that can be asked.
pub struct Peer {
    address: Address,
    deadline: Duration,
    /// With the certificates that were read last.
    client: Option<Client>,
    reading: OneAtATime<Result<Files, PeerError>>,
    trail: Trail,
}

/// What our own files say.
struct Files {
    /// The token.
    bearer: Option<HeaderValue>,
    /// The certificates to trust, if they were to be read.
    tls: Option<ClientConfig>,
}

impl Peer {
    /// Asks nothing yet. Neither our own files nor the answer, from the name to its last byte, may take longer than `deadline`.
    pub fn new(address: Address, deadline: Duration) -> Self {
        Self { address, deadline, client: None, reading: OneAtATime::default(), trail: Trail::default() }
    }

    /// What `path` answers.
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, PeerError> {
        self.ask(path, None).await
    }

    /// What `path` answers to this JSON.
    pub async fn post<T: DeserializeOwned>(&mut self, path: &str, body: &Value) -> Result<T, PeerError> {
        self.ask(path, Some(body)).await
    }

    /// What `path` answers, as it is.
    pub async fn text(&mut self, path: &str) -> Result<String, PeerError> {
        self.bytes(path, None).await.map(|body| String::from_utf8_lossy(&body).into_owned())
    }

    async fn ask<T: DeserializeOwned>(&mut self, path: &str, body: Option<&Value>) -> Result<T, PeerError> {
        let answer = self.bytes(path, body).await?;
        let url = shown(&self.url(path));
        let strange = |error: serde_json::Error| PeerError::Strange { url, why: error.to_string() };
        serde_json::from_slice(&answer).map_err(strange)
    }

    async fn bytes(&mut self, path: &str, body: Option<&Value>) -> Result<Vec<u8>, PeerError> {
        let answer = self.answer(path, body).await;
        // Other certificates of our own are read when the old ones do not do.
        if self.address.ca_file.is_some() && matches!(answer, Err(PeerError::Unreachable { .. })) {
            self.client = None;
        }
        answer
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.address.url.clone();
        url.set_path(path);
        url
    }

    async fn answer(&mut self, path: &str, body: Option<&Value>) -> Result<Vec<u8>, PeerError> {
        let Files { bearer, tls } = self.files().await?;
        let asked = self.url(path);
        let url = shown(&asked);
        let unreachable = |error: reqwest::Error| PeerError::Unreachable { url: url.clone(), why: chain(&error) };
        if let Some(tls) = tls {
            self.client = Some(client(tls, self.deadline).map_err(unreachable)?);
        }
        let Some(client) = &self.client else {
            return Err(PeerError::Unreachable { url, why: "its certificates were not read".to_owned() });
        };
        let request = match body {
            None => client.get(asked),
            Some(body) => client.post(asked).header(CONTENT_TYPE, "application/json").body(body.to_string()),
        };
        let mut request = request.header(ACCEPT, "application/json");
        if let Some(bearer) = bearer {
            request = request.header(AUTHORIZATION, bearer);
        }
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let body = whole(answer, &url).await?;
        if !status.is_success() {
            return Err(PeerError::Refused { url, status, why: word(&body) });
        }
        Ok(body)
    }

    /// Reads our own files, which may be on a disk that hangs.
    async fn files(&self) -> Result<Files, PeerError> {
        let (address, trail, with_tls) = (self.address.clone(), self.trail.clone(), self.client.is_none());
        let read = move || {
            let bearer = address.token_file.as_deref().map(|file| {
                trail.about_to_read(file);
                bearer(file)
            });
            let ca_file = address.ca_file.as_deref();
            ca_file.filter(|_| with_tls).inspect(|file| trail.about_to_read(file));
            let tls = with_tls.then(|| tls(ca_file));
            Ok(Files { bearer: bearer.transpose()?, tls: tls.transpose()? })
        };
        let why = match self.reading.within(self.deadline, read).await {
            Some(Ok(files)) => return files,
            Some(Err(_)) => "reading it failed unexpectedly".to_owned(),
            None => format!("it did not answer within {:?}: is its file system well?", self.deadline),
        };
        Err(PeerError::File { what: "our own file", path: self.trail.last().unwrap_or_default(), why })
    }
}

/// The same as an error may show it: without who asks and his password.
fn shown(url: &Url) -> Url {
    let mut shown = url.clone();
    // Refused where there cannot be any.
    let _ = shown.set_username("").and_then(|()| shown.set_password(None));
    shown
}

/// A client that speaks TLS so, and gives up after `deadline`.
pub(crate) fn client(tls: ClientConfig, deadline: Duration) -> Result<Client, reqwest::Error> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(deadline)
        .redirect(reqwest::redirect::Policy::none())
        // What a proxy in the environment is for is another question.
        .no_proxy()
        .pool_max_idle_per_host(1)
        .build()
}

/// The body, as long as it is not too long.
async fn whole(mut answer: Response, url: &Url) -> Result<Vec<u8>, PeerError> {
    let mut body = Vec::new();
    loop {
        let piece = answer.chunk().await;
        match piece.map_err(|error| PeerError::Unreachable { url: url.clone(), why: chain(&error) })? {
            None => return Ok(body),
            Some(piece) if body.len() + piece.len() > MOST_BYTES => {
                let why = format!("its answer is longer than {} MiB", MOST_BYTES >> 20);
                return Err(PeerError::Strange { url: url.clone(), why });
            }
            Some(piece) => body.extend_from_slice(&piece),
        }
    }
}

/// What a refusal says: the `error` of a JSON body, or its first line.
pub(crate) fn word(body: &[u8]) -> String {
    let said = serde_json::from_slice::<serde_json::Value>(body).ok();
    let said = said.as_ref().and_then(|body| body["error"].as_str());
    let text = said.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(300).collect()
}

fn bearer(file: &Path) -> Result<HeaderValue, PeerError> {
    let bad = |why: String| PeerError::File { what: "token file", path: file.to_owned(), why };
    let text = std::fs::read_to_string(file).map_err(|error| bad(error.to_string()))?;
    let token = text.trim();
    if token.is_empty() || token.len() > MOST_TOKEN_BYTES {
        return Err(bad("it does not hold one line with a token".to_owned()));
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| bad("it holds characters that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The certificates to trust that a file holds.
fn authorities(path: &Path) -> Result<RootCertStore, PeerError> {
    let bad = |why: String| PeerError::File { what: "CA file", path: path.to_owned(), why };
    let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| bad(format!("it is not PEM: {error}")))?;
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(certificates).0 == 0 {
        return Err(bad("there is no certificate of an authority in it".to_owned()));
    }
    Ok(roots)
}

/// TLS that trusts the certificates of this file, or of the system.
pub(crate) fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, PeerError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => roots = authorities(path)?,
        // A machine without certificates can still be asked without TLS.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| PeerError::File {
        what: "CA file",
        path: ca_file.unwrap_or(Path::new("of the system")).to_owned(),
        why: error.to_string(),
    })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// An error with its causes: reqwest's own word alone says little.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.last().map_or_else(|| error.to_string(), ToString::to_string)
}
