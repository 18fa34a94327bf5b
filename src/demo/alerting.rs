//! Alertmanager in the demo, and the bell that it rings.

use std::path::PathBuf;
use std::sync::Arc;

use super::bell::Bell;
use super::cast::ANSWERS_WITHIN;
use super::generated::{self, Webhook};
use super::http;
use crate::lab::{Lab, Spawned};

/// An Alertmanager that runs.
pub(super) struct Alerting {
    pub(super) port: u16,
    pub(super) process: Arc<Spawned>,
    _bell: Bell,
}

impl Alerting {
    /// Starts it; whatever it tells of is printed, and what is for pgvigil goes there too.
    pub(super) async fn start(lab: &Lab, program: PathBuf, pgvigil: &Webhook) -> anyhow::Result<Self> {
        let port = lab.free_port()?;
        let (token_file, token) = generated::token(lab, "bell.token")?;
        let bell = Bell::open(&token, super::say).await?;
        let rung = Webhook { url: bell.url(), token_file };
        let process = lab.spawn(generated::alertmanager(lab, program, port, &rung, pgvigil)?)?;
        http::wait_ok(&process, port, "/-/ready", ANSWERS_WITHIN).await?;
        Ok(Self { port, process, _bell: bell })
    }
}
