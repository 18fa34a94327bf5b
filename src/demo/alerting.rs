//! Alertmanager in the demo, and the bell that it rings.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use ring::rand::SecureRandom;

use super::bell::Bell;
use super::cast::ANSWERS_WITHIN;
use super::{generated, http};
use crate::lab::{Lab, Spawned};

/// An Alertmanager that runs.
pub(super) struct Alerting {
    pub(super) port: u16,
    pub(super) process: Arc<Spawned>,
    _bell: Bell,
}

impl Alerting {
    /// Starts it; whatever it tells of is printed.
    pub(super) async fn start(lab: &Lab, program: PathBuf) -> anyhow::Result<Self> {
        let port = lab.free_port()?;
        let token = token()?;
        let bell = Bell::open(&token, super::say).await?;
        let process = lab.spawn(generated::alertmanager(lab, program, port, &bell.url(), &token)?)?;
        http::wait_ok(&process, port, "/-/ready", ANSWERS_WITHIN).await?;
        Ok(Self { port, process, _bell: bell })
    }
}

/// A secret for one run.
fn token() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    ring::rand::SystemRandom::new().fill(&mut bytes).ok().context("the system gives no random bytes")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
