//! Whom to connect to, and how to speak TLS there: as the files of the node say at this moment, so that a rotated password and a renewed
//! certificate are picked up. They may be on a disk that hangs: it holds one thread, and the node's next connect.

use std::sync::Arc;
use std::time::Duration;

use crate::patience::OneAtATime;
use crate::pg::dsn::Target;
use crate::pg::failure::{Cause, Failure};
use crate::pg::tls::Connector;
use crate::pg::trail::Trail;

/// Where a node's loops find out whom to connect to; asked before each connect. It may take as long as the file system does.
pub type Source = Arc<dyn Fn(&Trail) -> Found + Send + Sync>;

/// Whom to connect to and how, or why nobody knows.
pub type Found = Result<(Target, Connector), Failure>;

/// Asks the source of one node.
pub struct Finder {
    source: Source,
    reading: OneAtATime<Found>,
    trail: Trail,
}

impl Finder {
    /// One that asks `source`.
    pub fn new(source: Source) -> Self {
        Self { source, reading: OneAtATime::default(), trail: Trail::default() }
    }

    /// What the files say, if they say it within `deadline`.
    pub async fn find(&self, deadline: Duration) -> Found {
        let (source, trail) = (self.source.clone(), self.trail.clone());
        let why = match self.reading.within(deadline, move || source(&trail)).await {
            Some(Ok(found)) => return found,
            Some(Err(_)) => "it failed unexpectedly".to_owned(),
            None => {
                let what = self.trail.last().map_or_else(|| "the files".to_owned(), |path| path.display().to_string());
                format!("reading {what} did not answer within {deadline:?}: is its file system well?")
            }
        };
        Err(Failure::new(Cause::Config, &why))
    }

    /// Whether the files have not answered yet: what mends that is no person's change of them.
    pub(super) fn hangs(&self) -> bool {
        self.reading.hangs()
    }
}
