//! `pgvigil healthcheck`: whether a running pgvigil answers, for a container without a shell. Not whether its servers are up: a pgvigil
//! that is restarted because a database is down could not say so any more.

use std::time::Duration;

use reqwest::StatusCode;

use crate::peer::{Address, Peer, PeerError};

/// How long the answer may take; less than whoever asks waits for us.
const DEADLINE: Duration = Duration::from_secs(3);

/// Asks the pgvigil at `address`. Refusing us is an answer too: no credential is needed to see that it lives.
pub async fn run(address: Address) -> Result<(), PeerError> {
    match Peer::new(address, DEADLINE).text("/-/healthy").await {
        Ok(_) | Err(PeerError::Refused { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
