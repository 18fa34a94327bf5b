//! Guard `primary_well`.

use std::time::Duration;

use super::{Answer, BEFORE_ACTING, FAILOVER, Guard, NEVER, Scene, Stage};
use crate::collector::archive_verdict::ArchiveState;
use crate::config::duration;
use crate::runbook::book::Class;
use crate::runbook::evidence::{Look, Server};

/// Of a stream whose standby has no `wal_receiver_timeout`.
const SILENT: Duration = Duration::from_secs(45);

/// The primary lives, and nothing that is seen keeps it from stopping in order.
#[derive(Debug)]
pub struct PrimaryWell;

impl Guard for PrimaryWell {
    fn name(&self) -> &'static str {
        "primary_well"
    }

    fn asks(&self) -> &'static str {
        "of a switchover: the primary answers and takes writes, every other node streams and heard from it within three quarters of its \
         wal_receiver_timeout, and the archiver does not hang: both would hold up the stop"
    }

    fn classes(&self) -> &'static [Class] {
        FAILOVER
    }

    fn stages(&self) -> &'static [Stage] {
        NEVER
    }

    fn planned_stages(&self) -> &'static [Stage] {
        BEFORE_ACTING
    }

    fn yields_to_approval(&self) -> bool {
        false
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        let evidence = scene.evidence;
        let Some((primary, look)) = evidence.primary.as_ref().zip(evidence.primary_look()) else {
            return (Answer::Unknown, "no primary of this cluster was ever seen".to_owned());
        };
        let server = match &look.probe {
            Ok(server) if server.in_recovery => return (Answer::Block, format!("{} is in recovery", look.node)),
            Ok(server) => server,
            Err(failure) => return (Answer::Block, format!("{} does not answer: {failure}", look.node)),
        };
        let archiver = match primary.archiving {
            Some(ArchiveState::Hung) => return (Answer::Block, format!("the archiver of {} hangs", look.node)),
            Some(state) => state.as_str(),
            None => ArchiveState::Unknown.as_str(),
        };
        let streams: Vec<_> = evidence.standbys().map(|(_, look)| stream(look, server)).collect();
        let worst = streams.iter().map(|(answer, _)| *answer).max_by_key(|answer| match answer {
            Answer::Pass => 0,
            Answer::Unknown => 1,
            Answer::Block => 2,
        });
        let said: Vec<_> = streams.into_iter().map(|(_, said)| said).collect();
        let value = format!("{} takes writes, archiving is {archiver}; {}", look.node, said.join(", "));
        (worst.unwrap_or(Answer::Block), value)
    }
}

/// Whether this standby streams.
fn stream(look: &Look, primary: &Server) -> (Answer, String) {
    let node = &look.node;
    let server = match &look.probe {
        Ok(server) => server,
        Err(failure) => return (Answer::Block, format!("{node} does not answer: {failure}")),
    };
    if !server.in_recovery || server.timeline != primary.timeline {
        return (Answer::Block, format!("{node} is no standby on timeline {}", primary.timeline));
    }
    let Some(receiver) = server.receiver.as_ref().filter(|receiver| receiver.streams) else {
        return (Answer::Block, format!("{node} does not stream"));
    };
    let limit = receiver.timeout.map_or(SILENT, |timeout| timeout * 3 / 4);
    match receiver.silent {
        None => (Answer::Unknown, format!("{node} streams and has heard nothing yet")),
        Some(silent) => {
            let value =
                format!("{node} heard from it {} ago (limit {})", duration::show(silent), duration::show(limit));
            (if silent <= limit { Answer::Pass } else { Answer::Block }, value)
        }
    }
}
