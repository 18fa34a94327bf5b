//! Asking Patroni over its REST API. What changes something is asked for once: after an answer that says little, or none, it is only
//! looked at what came of it.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode, Url};
use rustls::ClientConfig;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Answer, Outcome, Timing, View, answer, judge};
use crate::config::{Login, Secret, Service, password};
use crate::patience::OneAtATime;
use crate::peer::{self, PeerError};
use crate::pg::trail::Trail;

/// No answer is longer.
const MOST_BYTES: usize = 1 << 20;
/// Between two looks at what came of it.
const LOOK: Duration = Duration::from_millis(500);

/// Why there is no answer. Safe to show.
#[derive(Debug, thiserror::Error)]
pub enum PatroniError {
    /// A file of ours.
    #[error("patroni: {0}")]
    File(String),
    /// No member can be reached; the last one, and why.
    #[error("patroni at {url} does not answer: {why}")]
    Unreachable {
        /// Whom we asked last.
        url: Url,
        /// Why.
        why: String,
    },
    /// It answered, and refused.
    #[error("patroni at {url} answers {status}: {why}")]
    Refused {
        /// Whom we asked.
        url: Url,
        /// The status.
        status: StatusCode,
        /// Its word.
        why: String,
    },
    /// It answered something else than a Patroni does.
    #[error("patroni at {url} does not answer like Patroni: {why}")]
    Strange {
        /// Whom we asked.
        url: Url,
        /// What is wrong.
        why: String,
    },
}

/// The members of one cluster.
pub struct Patroni {
    service: Service,
    /// For a question that changes nothing.
    deadline: Duration,
    reading: OneAtATime<Result<Files, String>>,
    trail: Trail,
}

/// What our own files say.
struct Files {
    tls: ClientConfig,
    login: Option<(String, Secret)>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// From one that leads and runs.
    Switchover {
        /// Who leads.
        leader: &'a str,
        /// Who shall.
        candidate: &'a str,
    },
    /// Where nobody leads. Patroni looks neither at lag nor at timelines then: only ever by a person's word.
    Failover {
        /// Who shall lead.
        candidate: &'a str,
    },
}

impl Patroni {
    /// Asks nothing yet. Neither our own files nor an answer may take longer than `deadline`, but that to a change.
    pub fn new(service: Service, deadline: Duration) -> Self {
        Self { service, deadline, reading: OneAtATime::default(), trail: Trail::default() }
    }

    /// The cluster, as the first member says that answers.
    pub async fn cluster(&self) -> Result<View, PatroniError> {
        self.get("/cluster").await.map(|(_, view)| view)
    }

    /// How fast it is.
    pub async fn timing(&self) -> Result<Timing, PatroniError> {
        self.get("/config").await.map(|(_, timing)| timing)
    }

    /// Each promotion that it knows of: what `/history` says, the oldest first.
    pub async fn history(&self) -> Result<Vec<Value>, PatroniError> {
        self.get("/history").await.map(|(_, history)| history)
    }

    /// Asks for a change once, and looks what comes of it until `patience` is over. An error is one from before anything was asked for.
    pub async fn change(&self, change: Change<'_>, patience: Duration) -> Result<Outcome, PatroniError> {
        let end = Instant::now() + patience;
        let (url, before): (_, View) = self.get("/cluster").await?;
        let (path, candidate, forbids, body) = match change {
            Change::Switchover { leader, candidate } => {
                let body = json!({ "leader": leader, "candidate": candidate });
                ("/switchover", candidate, before.forbids_switchover(leader, candidate), body)
            }
            Change::Failover { candidate } => {
                ("/failover", candidate, before.forbids_failover(candidate), json!({ "candidate": candidate }))
            }
        };
        if let Some(why) = forbids {
            return Ok(Outcome::Refused(why));
        }
        let timing = self.timing().await?;
        let files = self.files().await?;
        let said = match self.ask(&files, &url, path, Some(&body), timing.patience()).await {
            Ok(response) => {
                let status = response.status().as_u16();
                let body = whole(response, &url).await.unwrap_or_default();
                answer(status, &peer::word(&body))
            }
            // It may have heard us all the same.
            Err(error) => Answer::Unclear(error.to_string()),
        };
        let said = match said {
            Answer::Refused(why) => return Ok(Outcome::Refused(why)),
            Answer::Scheduled => "it was planned for later".to_owned(),
            Answer::Done => "it says that this was done".to_owned(),
            Answer::Unclear(why) => why,
        };
        loop {
            let seen = self.cluster().await;
            if let Some(outcome) = seen.as_ref().ok().and_then(|view| judge(view, &before, candidate)) {
                return Ok(outcome);
            }
            if Instant::now() >= end {
                let now = match seen {
                    Err(error) => error.to_string(),
                    Ok(view) => match view.leader() {
                        Some(leader) => format!("{} leads, and is {}", leader.name, leader.state),
                        None => "nobody leads".to_owned(),
                    },
                };
                return Ok(Outcome::Unclear(format!("{said}; after {patience:?} {now}")));
            }
            sleep(LOOK).await;
        }
    }

    /// What the first member says that answers, and which it is.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<(Url, T), PatroniError> {
        let files = self.files().await?;
        let mut last = PatroniError::File("it has no address".to_owned());
        for url in &self.service.urls {
            match self.get_of(&files, url, path).await {
                Ok(value) => return Ok((url.clone(), value)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn get_of<T: DeserializeOwned>(&self, files: &Files, url: &Url, path: &str) -> Result<T, PatroniError> {
        let response = self.ask(files, url, path, None, self.deadline).await?;
        let status = response.status();
        let body = whole(response, url).await?;
        if !status.is_success() {
            return Err(PatroniError::Refused { url: url.clone(), status, why: peer::word(&body) });
        }
        serde_json::from_slice(&body)
            .map_err(|error| PatroniError::Strange { url: url.clone(), why: error.to_string() })
    }

    async fn ask(
        &self,
        files: &Files,
        url: &Url,
        path: &str,
        body: Option<&Value>,
        deadline: Duration,
    ) -> Result<Response, PatroniError> {
        let unreachable =
            |error: reqwest::Error| PatroniError::Unreachable { url: url.clone(), why: peer::chain(&error) };
        let client: Client = peer::client(files.tls.clone(), deadline).map_err(unreachable)?;
        let mut whole = url.clone();
        whole.set_path(path);
        let mut request = match body {
            None => client.get(whole),
            Some(body) => client.post(whole).body(body.to_string()).header("Content-Type", "application/json"),
        };
        if let Some((user, password)) = &files.login {
            request = request.basic_auth(user, Some(password.reveal()));
        }
        request.send().await.map_err(unreachable)
    }

    /// Reads our own files, which may be on a disk that hangs.
    async fn files(&self) -> Result<Files, PatroniError> {
        let (service, trail) = (self.service.clone(), self.trail.clone());
        let read = move || {
            let ca_file = service.ca_file.as_deref();
            ca_file.inspect(|file| trail.about_to_read(file));
            let tls = peer::tls(ca_file).map_err(|error: PeerError| error.to_string())?;
            let login = service.login.map(|Login { username, password_file }| {
                trail.about_to_read(&password_file);
                Ok::<_, String>((username, password(&password_file)?))
            });
            Ok(Files { tls, login: login.transpose()? })
        };
        match self.reading.within(self.deadline, read).await {
            Some(Ok(files)) => files.map_err(PatroniError::File),
            Some(Err(_)) => Err(PatroniError::File("reading our own files failed unexpectedly".to_owned())),
            None => {
                let file = self.trail.last().unwrap_or_default();
                let what =
                    format!("{} did not answer within {:?}: is its file system well?", file.display(), self.deadline);
                Err(PatroniError::File(what))
            }
        }
    }
}

/// The body, as long as it is not too long.
async fn whole(mut answer: Response, url: &Url) -> Result<Vec<u8>, PatroniError> {
    let mut body = Vec::new();
    loop {
        let piece = answer.chunk().await;
        match piece.map_err(|error| PatroniError::Unreachable { url: url.clone(), why: peer::chain(&error) })? {
            None => return Ok(body),
            Some(piece) if body.len() + piece.len() > MOST_BYTES => {
                let why = format!("its answer is longer than {} MiB", MOST_BYTES >> 20);
                return Err(PatroniError::Strange { url: url.clone(), why });
            }
            Some(piece) => body.extend_from_slice(&piece),
        }
    }
}
