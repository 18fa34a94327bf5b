//! What stands below the table of nodes: why, synchronous replication, archives, slots, runs. Pure.

use super::answer::{Cluster, Node, Run, Runs, Slot};
use super::text::{Row, Tone, bytes, paragraph, span};

/// More slots of a node are counted only.
const MOST_SLOTS: usize = 20;

/// All of it, for one cluster.
pub(super) fn rows(cluster: &Cluster, runs: &Runs, width: usize) -> Vec<Row> {
    let mut said: Vec<(&str, String, Tone)> = Vec::new();
    for node in &cluster.nodes {
        said.extend(troubles(node).into_iter().map(|(text, tone)| ("why", text, tone)));
    }
    said.extend(cluster.nodes.iter().filter_map(sync).map(|(text, tone)| ("sync", text, tone)));
    let archives = archives(cluster);
    said.extend(archives.into_iter().map(|(text, tone)| ("archive", text, tone)));
    said.extend(cluster.nodes.iter().flat_map(slots).map(|(text, tone)| ("slots", text, tone)));
    said.extend(of_cluster(cluster, runs).map(|(text, tone)| ("runs", text, tone)));
    let mut last = "";
    let mut rows = Vec::new();
    for (label, text, tone) in said {
        // A narrow terminal has no column of labels.
        let shown = if label == last && width >= 60 { "" } else { label };
        rows.extend(paragraph(shown, &text, tone, width));
        last = label;
    }
    rows
}

/// What is wrong with a node, and why something of it is not known.
fn troubles(node: &Node) -> Vec<(String, Tone)> {
    let verdicts = &node.verdicts;
    let name = &verdicts.name;
    let mut said = Vec::new();
    if let Some(failure) = &node.failure {
        let since = span(failure.since_seconds);
        said.push((format!("{name} is {} for {since}: {}", verdicts.state, failure.value.message), Tone::Bad));
    }
    if verdicts.witnessed {
        said.push((format!("{name} lives: a standby that it feeds hears it"), Tone::Warn));
    }
    if verdicts.lineage.foreign_system == "yes" {
        said.push((format!("{name} belongs to another cluster: its system identifier differs"), Tone::Bad));
    }
    if verdicts.lineage.diverged.as_deref() == Some("yes") {
        said.push((
            format!("{name} has WAL that the primary's timeline does not have: rewind it or make it anew"),
            Tone::Bad,
        ));
    }
    if verdicts.needs_rebuild.as_deref() == Some("yes") {
        said.push((format!("{name} must be made anew: the WAL that it needs is gone"), Tone::Bad));
    }
    if let Some(lags) = &verdicts.lag {
        let unknown = [("received", &lags.received), ("replayed", &lags.replayed)];
        let unknown = unknown.map(|(stage, lag)| lag.seconds.is_none().then_some((stage, lag.unknown.as_deref())));
        let said_of = |stages: &str, why: Option<&str>| {
            let why = why.unwrap_or("for no reason that is told").replace('_', " ");
            (format!("how far {name} is behind ({stages}) is not known: {why}"), Tone::Warn)
        };
        match unknown {
            [Some((_, one)), Some((_, other))] if one == other => said.push(said_of("both", one)),
            both => said.extend(both.into_iter().flatten().map(|(stage, why)| said_of(stage, why))),
        }
    }
    for opinion in verdicts.others.opinions.iter().filter(|opinion| opinion.agreement == "disagrees") {
        said.push((format!("{} sees {name} as {}", opinion.observer, opinion.state), Tone::Warn));
    }
    said
}

fn sync(node: &Node) -> Option<(String, Tone)> {
    let sync = node.verdicts.sync.as_ref()?;
    let name = &node.verdicts.name;
    let number = |number: Option<u64>| number.map_or("?".to_owned(), |number| number.to_string());
    let of = format!("a commit waits for {} of {}", number(sync.required), number(sync.candidates));
    Some(match sync.state.as_str() {
        "off" => (format!("{name}: off, no commit waits for a standby"), Tone::Faint),
        "satisfied" => {
            let spare = sync.spare.map_or("unknown".to_owned(), |spare| spare.to_string());
            (format!("{name}: satisfied, {of}, {spare} to spare"), Tone::Good)
        }
        "unsatisfied" => (format!("{name}: UNSATISFIED, {of}: commits hang"), Tone::Bad),
        state => (format!("{name}: {state}"), Tone::Warn),
    })
}

fn archives(cluster: &Cluster) -> Vec<(String, Tone)> {
    let that_archive = cluster.nodes.iter().filter(|node| node.archiving != "off");
    let said: Vec<_> = that_archive.map(archive).collect();
    if said.is_empty() { vec![("off: no node archives its WAL".to_owned(), Tone::Warn)] } else { said }
}

fn archive(node: &Node) -> (String, Tone) {
    let (name, state) = (&node.verdicts.name, node.archiving.as_str());
    let mut text = format!("{name}: {state}");
    if let Some(archiver) = node.facts.archiver.value.as_ref().filter(|_| node.verdicts.up) {
        if let Some(last) = archiver.last_archived_time {
            let ago = archiver.server_time.seconds_since(last) + node.facts.archiver.age_seconds.unwrap_or(0.0);
            text.push_str(&format!(", {} archived, the last {} ago", archiver.archived_count, span(ago)));
        }
        if let Some(waiting) = &node.facts.archive_status.value {
            text.push_str(&match waiting.ready {
                0 => ", none waits".to_owned(),
                ready => format!(", {ready} wait"),
            });
        }
    }
    let tone = match state {
        "ok" => Tone::Good,
        "unknown" | "never" => Tone::Warn,
        _ => Tone::Bad,
    };
    (text, tone)
}

fn slots(node: &Node) -> Vec<(String, Tone)> {
    let Some(slots) = &node.facts.slots.value else { return Vec::new() };
    let name = &node.verdicts.name;
    if !node.verdicts.up {
        let text = format!("{name}: had {} when it was last read, not known now", slots.len());
        return if slots.is_empty() { Vec::new() } else { vec![(text, Tone::Warn)] };
    }
    let mut said: Vec<_> = slots.iter().map(|slot| self::slot(node, slot)).collect();
    // What is wrong comes first.
    said.sort_by_key(|(_, tone)| match tone {
        Tone::Bad => 0,
        Tone::Warn => 1,
        _ => 2,
    });
    let more = said.len().saturating_sub(MOST_SLOTS);
    said.truncate(MOST_SLOTS);
    if more > 0 {
        said.push((format!("{name}: {more} more"), Tone::Plain));
    }
    said
}

fn slot(node: &Node, slot: &Slot) -> (String, Tone) {
    let status = slot.wal_status.as_deref();
    let used = if slot.active { "in use" } else { "not in use" };
    let mut text = format!("{} on {}: {}, {used}", slot.name, node.verdicts.name, slot.kind);
    if let Some(status) = status {
        text.push_str(&format!(", {status}"));
    }
    let head = node.facts.recovery.value.as_ref().and_then(|recovery| recovery.flush_lsn.or(recovery.replay_lsn));
    if let Some((head, from)) = head.zip(slot.restart_lsn.filter(|_| status != Some("lost"))) {
        text.push_str(&format!(", keeps {}", bytes(head.bytes_since(from))));
    }
    if let Some(safe) = slot.safe_wal_size.filter(|_| slot.restart_lsn.is_some()) {
        text.push_str(&format!(", {} until it may be lost", bytes(u64::try_from(safe).unwrap_or(0))));
    }
    let tone = match (status, slot.active) {
        (Some("lost" | "unreserved"), _) => Tone::Bad,
        (Some("extended"), _) | (_, false) => Tone::Warn,
        _ => Tone::Plain,
    };
    (text, tone)
}

/// What a person is asked, with the line that says yes.
pub(super) fn question(run: &Run) -> String {
    let candidate = run.candidate.as_deref().unwrap_or("nobody");
    let loss = run.loss_bytes.map_or("an unknown loss".to_owned(), |loss| format!("a loss of at most {}", bytes(loss)));
    let until = run.until.map_or(String::new(), |until| format!(" until {until}"));
    format!(
        "run {} of {}, cluster {}, primary {} to {candidate} with {loss}, waits for a person{until}: \
         pgvigil runbook approve {} --plan {}",
        run.id, run.runbook, run.cluster, run.primary, run.id, run.plan
    )
}

fn of_cluster<'a>(cluster: &'a Cluster, runs: &'a Runs) -> impl Iterator<Item = (String, Tone)> + 'a {
    let of_it = runs.runs.iter().filter(|run| run.cluster == cluster.name);
    of_it.filter(|run| run.outcome.is_none() || run.unacknowledged).map(|run| {
        let stands = format!("{} of {}: {}", run.id, run.runbook, run.phase.replace('_', " "));
        match &run.outcome {
            None => (format!("{stands}, {} of {} steps done", run.steps_done, run.steps), Tone::Warn),
            Some(_) => {
                let ack = format!("take note of it: pgvigil runbook ack {}", run.id);
                (format!("{stands}: {}; {ack}", run.report), Tone::Bad)
            }
        }
    })
}
