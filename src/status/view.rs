//! What a terminal shows of the API's answers: rows of words. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::answer::{Brief, Cluster, Clusters, Lag, Lags, Node, Runs};
use super::detail;
use super::text::{Cell, Column, Row, Tone, bytes, paragraph, span, table};

/// The answers to one look.
#[derive(Clone, Debug)]
pub struct Picture {
    /// All clusters.
    pub all: Clusters,
    /// The one that is looked at; `None`: there is none.
    pub cluster: Option<Cluster>,
    /// Runs of runbooks.
    pub runs: Runs,
}

/// What is known when something is drawn.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Whom we ask.
    pub server: String,
    /// How often.
    pub interval: Duration,
    /// The last good answers.
    pub picture: Option<Arc<Picture>>,
    /// How old they are.
    pub age: Duration,
    /// Why there are no newer ones.
    pub trouble: Option<String>,
    /// The name of the chosen cluster.
    pub chosen: Option<String>,
}

impl Seen {
    /// Whether the picture is not the present: the last question failed, or has been waiting for long.
    pub fn is_old(&self) -> bool {
        self.trouble.is_some() || self.age > self.interval * 2 + Duration::from_secs(1)
    }
}

/// Everything that a terminal shows, from top to bottom.
#[derive(Clone, Debug, Default)]
pub struct Screen {
    /// Whom we ask, and when it answered.
    pub head: Row,
    /// What must not be overlooked.
    pub alarms: Vec<Row>,
    /// The clusters, if there are several.
    pub clusters: Vec<Row>,
    /// Which of them is the chosen one.
    pub chosen: usize,
    /// The chosen cluster.
    pub body: Vec<Row>,
}

/// The screen of this width.
pub fn screen(seen: &Seen, width: usize) -> Screen {
    let width = width.max(12);
    let Some(picture) = &seen.picture else {
        let why = seen.trouble.as_deref().unwrap_or("asked, and waiting for the first answer");
        let tone = if seen.trouble.is_some() { Tone::Alarm } else { Tone::Plain };
        let head = Row::of(format!("pgvigil at {}", seen.server), Tone::Head);
        return Screen { head, alarms: paragraph("NO PICTURE", why, tone, width), ..Screen::default() };
    };
    let old = seen.is_old().then(|| span(seen.age.as_secs_f64()));
    let mut head = Row::of(format!("pgvigil at {}", seen.server), Tone::Head);
    head.push(format!("  {}", picture.all.now), Tone::Faint);
    let mut alarms = Vec::new();
    if let Some(age) = &old {
        let why = seen.trouble.as_deref().unwrap_or("the next answer is overdue");
        alarms.extend(paragraph("OLD", &format!("{age} old, not the present: {why}"), Tone::Alarm, width));
    }
    alarms.extend(calls(picture, width));
    let all = &picture.all.clusters;
    let chosen = all.iter().position(|brief| Some(&brief.name) == seen.chosen.as_ref()).unwrap_or(0);
    let clusters = if all.len() > 1 { list(all, chosen, old.is_some(), width) } else { Vec::new() };
    let mut body = match &picture.cluster {
        Some(cluster) => body(cluster, &picture.runs, old.as_deref(), width),
        None => paragraph("", "No cluster is watched.", Tone::Plain, width),
    };
    if old.is_some() {
        // What was fine then is not said to be fine.
        body.iter_mut().flat_map(|row| &mut row.0).filter(|(_, tone)| *tone == Tone::Good).for_each(faint);
    }
    Screen { head, alarms, clusters, chosen, body }
}

fn faint(piece: &mut (String, Tone)) {
    piece.1 = Tone::Faint;
}

/// What asks for a person, in any cluster.
fn calls(picture: &Picture, width: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for brief in &picture.all.clusters {
        // The one in full was asked later, and counts.
        let whole = picture.cluster.as_ref().filter(|cluster| cluster.name == brief.name);
        if whole.map_or(&brief.split_brain, |cluster| &cluster.split_brain) != "yes" {
            continue;
        }
        let writes = |node: &&Node| node.role == "primary";
        let writers = whole.iter().flat_map(|cluster| &cluster.nodes).filter(writes);
        let writers: Vec<&str> = writers.map(|node| node.verdicts.name.as_str()).collect();
        let text = format!("several nodes of {} write at the same time", brief.name);
        let text = if writers.is_empty() { text } else { format!("{text}: {}", writers.join(" and ")) };
        rows.extend(paragraph("SPLIT BRAIN", &text, Tone::Alarm, width));
    }
    for run in picture.runs.runs.iter().filter(|run| run.outcome.is_none() && run.phase == "awaiting") {
        rows.extend(paragraph("APPROVE?", &detail::question(run), Tone::Alarm, width));
    }
    if let Some(paused) = &picture.runs.paused {
        let word = |key: &str| paused.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        let text = format!("no run does anything: by {}, {}", word("by"), word("comment"));
        rows.extend(paragraph("PAUSED", text.trim_end_matches([',', ' ']), Tone::Warn, width));
    }
    rows
}

fn list(all: &[Brief], chosen: usize, is_old: bool, width: usize) -> Vec<Row> {
    let columns = [
        Column { title: "  CLUSTER", least: 10, rank: 0 },
        Column { title: "UP", least: 8, rank: 1 },
        Column { title: "PRIMARY", least: 8, rank: 2 },
        Column { title: "SPLIT BRAIN", least: 11, rank: 3 },
    ];
    let good = if is_old { Tone::Faint } else { Tone::Good };
    let cells: Vec<Vec<Cell>> = all
        .iter()
        .enumerate()
        .map(|(index, brief)| {
            let up = brief.nodes.iter().filter(|node| node.up).count();
            let tone = if up == brief.nodes.len() { good } else { Tone::Bad };
            let mark = if index == chosen { ">" } else { " " };
            vec![
                (format!("{mark} {}", brief.name), if index == chosen { Tone::Head } else { Tone::Plain }),
                (format!("{up} of {}", brief.nodes.len()), tone),
                brief.primary.clone().map_or(("unknown".to_owned(), Tone::Warn), |name| (name, Tone::Plain)),
                (brief.split_brain.clone(), verdict(&brief.split_brain, "no", good)),
            ]
        })
        .collect();
    table(&columns, &cells, width)
}

/// The tone of a verdict of three values.
fn verdict(said: &str, wanted: &str, good: Tone) -> Tone {
    match said {
        "unknown" => Tone::Warn,
        said if said == wanted => good,
        _ => Tone::Bad,
    }
}

fn body(cluster: &Cluster, runs: &Runs, old: Option<&str>, width: usize) -> Vec<Row> {
    let mut line = Row::of(format!("cluster {}", cluster.name), Tone::Head);
    let was = if old.is_some() { " was" } else { "" };
    let primary = cluster.primary.as_deref().unwrap_or("unknown");
    line.push(format!(": primary{was} {primary}"), if cluster.primary.is_some() { Tone::Plain } else { Tone::Warn });
    line.push(", split brain ", Tone::Plain);
    line.push(&cluster.split_brain, verdict(&cluster.split_brain, "no", Tone::Good));
    if let Some(timeline) = cluster.timeline {
        line.push(format!(", timeline {timeline}"), Tone::Faint);
    }
    let mut rows = if line.width() <= width {
        vec![line]
    } else {
        let text: String = line.0.iter().skip(1).map(|(text, _)| text.as_str()).collect();
        let tone = verdict(&cluster.split_brain, "no", Tone::Plain);
        paragraph(&format!("cluster {}", cluster.name), &text[2..], tone, width)
    };
    rows.extend(failover(cluster, old, width));
    if let Some(maintenance) = &cluster.maintenance {
        let reason = maintenance.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        let text = format!("until {}, by {}{reason}", maintenance.until, maintenance.by);
        rows.extend(paragraph("maintenance", &text, Tone::Warn, width));
    }
    rows.push(Row::default());
    rows.extend(nodes(cluster, old.is_some(), width));
    rows.push(Row::default());
    rows.extend(detail::rows(cluster, runs, width));
    rows
}

/// Whether a failover now would work, to whom, and at what loss.
fn failover(cluster: &Cluster, old: Option<&str>, width: usize) -> Vec<Row> {
    if let Some(age) = old {
        let text = format!("not known: what is seen here is {age} old");
        return paragraph("failover", &text, Tone::Warn, width);
    }
    let standbys = || cluster.nodes.iter().filter_map(|node| Some((node, node.verdicts.promotable.as_ref()?)));
    let loss = cluster.failover_loss.as_ref();
    let (text, tone) = match &cluster.failover_candidate {
        Some(candidate) => match loss {
            Some(loss) => {
                let (seen, most) = (bytes(loss.seen_bytes), bytes(loss.estimated_bytes));
                (format!("would go to {candidate}, and lose {seen} seen, {most} estimated"), Tone::Good)
            }
            None => (format!("would go to {candidate}; what it would lose is not known"), Tone::Warn),
        },
        None if cluster.split_brain == "yes" => ("would not work: several nodes write".to_owned(), Tone::Bad),
        None if standbys().any(|(_, promotable)| promotable.verdict != "no") => {
            ("not known: no standby is known to be able to take over".to_owned(), Tone::Warn)
        }
        None => ("would not work: no standby could take over".to_owned(), Tone::Bad),
    };
    let mut rows = paragraph("failover", &text, tone, width);
    for (node, promotable) in standbys().filter(|(_, promotable)| promotable.verdict != "yes") {
        let reasons: Vec<&str> = promotable.reasons.iter().map(|reason| reason.meaning.as_str()).collect();
        let word = if promotable.verdict == "no" { "not to" } else { "perhaps to" };
        let text = format!("{word} {}: {}", node.verdicts.name, reasons.join("; "));
        rows.extend(paragraph("", &text, Tone::Warn, width));
    }
    rows
}

fn nodes(cluster: &Cluster, is_old: bool, width: usize) -> Vec<Row> {
    let columns = [
        Column { title: "NODE", least: 4, rank: 0 },
        Column { title: if is_old { "WAS" } else { "STATE" }, least: 11, rank: 1 },
        Column { title: "ROLE", least: 7, rank: 3 },
        Column { title: "RECEIVED", least: 15, rank: 4 },
        Column { title: "REPLAYED", least: 15, rank: 2 },
        Column { title: "REPLAY", least: 15, rank: 5 },
        Column { title: "FED BY", least: 6, rank: 6 },
        Column { title: "CONNECTED", least: 9, rank: 7 },
    ];
    let cells: Vec<Vec<Cell>> = cluster
        .nodes
        .iter()
        .map(|node| {
            let verdicts = &node.verdicts;
            let lag = |stage: fn(&Lags) -> &Lag| {
                let lags = verdicts.lag.as_ref();
                lags.map_or(("-".to_owned(), Tone::Faint), |lags| behind(stage(lags)))
            };
            vec![
                (verdicts.name.clone(), Tone::Head),
                state(node),
                (node.role.clone(), if node.role == "unknown" { Tone::Warn } else { Tone::Plain }),
                lag(|lags| &lags.received),
                lag(|lags| &lags.replayed),
                replay(node),
                upstream(verdicts.upstream.as_deref()),
                connected(cluster, &verdicts.name),
            ]
        })
        .collect();
    let mut rows = table(&columns, &cells, width);
    let is_node = |name: &str| cluster.nodes.iter().any(|node| node.verdicts.name == name);
    let others: Vec<&str> =
        cluster.standbys.iter().map(|it| it.standby.as_str()).filter(|name| !is_node(name)).collect();
    if !others.is_empty() {
        let text = format!("standbys that the config does not name: {}", others.join(", "));
        rows.extend(paragraph("", &text, Tone::Warn, width));
    }
    rows
}

fn state(node: &Node) -> Cell {
    let tone = match node.verdicts.state.as_str() {
        "up" => Tone::Good,
        "unknown" | "starting" | "stopping" => Tone::Warn,
        _ => Tone::Bad,
    };
    (node.verdicts.state.clone(), tone)
}

fn behind(lag: &Lag) -> Cell {
    match (lag.seconds, lag.bytes) {
        (Some(seconds), Some(amount)) => (format!("{seconds:.1} s, {}", bytes(amount)), Tone::Plain),
        (Some(seconds), None) => (format!("{seconds:.1} s"), Tone::Plain),
        (None, _) => ("unknown".to_owned(), Tone::Warn),
    }
}

fn replay(node: &Node) -> Cell {
    let verdicts = &node.verdicts;
    if node.role == "primary" {
        return ("-".to_owned(), Tone::Faint);
    }
    if !verdicts.up {
        return ("unknown".to_owned(), Tone::Warn);
    }
    let pause = node.facts.recovery.value.as_ref().and_then(|recovery| recovery.pause.as_deref());
    match (pause, node.replay.as_deref()) {
        _ if verdicts.settings.as_ref().is_some_and(|settings| settings.replay_blocked == "yes") => {
            ("stopped: settings".to_owned(), Tone::Bad)
        }
        (Some("paused"), _) => ("PAUSED".to_owned(), Tone::Bad),
        (Some("requested"), _) => ("pause requested".to_owned(), Tone::Warn),
        (_, Some(word @ ("replaying" | "waiting_for_wal"))) => (word.replace('_', " "), Tone::Good),
        // The reading that told of the pause is older than the one that tells of its end.
        (Some("running"), Some("paused")) | (_, None | Some("unknown")) => ("unknown".to_owned(), Tone::Warn),
        (_, Some(word)) => (word.replace('_', " "), Tone::Warn),
    }
}

fn upstream(name: Option<&str>) -> Cell {
    match name {
        None => ("-".to_owned(), Tone::Faint),
        Some("none") => ("nobody".to_owned(), Tone::Bad),
        Some(name @ ("unknown" | "other")) => (name.to_owned(), Tone::Warn),
        Some(name) => (name.to_owned(), Tone::Plain),
    }
}

fn connected(cluster: &Cluster, name: &str) -> Cell {
    match cluster.standbys.iter().find(|standby| standby.standby == name) {
        None => ("-".to_owned(), Tone::Faint),
        Some(standby) if standby.connected => ("yes".to_owned(), Tone::Good),
        Some(standby) if standby.expected => ("no, missed".to_owned(), Tone::Bad),
        Some(_) => ("no".to_owned(), Tone::Plain),
    }
}
