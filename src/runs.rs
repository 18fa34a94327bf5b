//! `pgvigil runbook list`, `plan`, `run`, `show`, and what a person says to a run: asks a running pgvigil and prints its answer.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::clock::Wall;
use crate::peer::{Address, Peer};

/// A plan waits for probes of all nodes.
const DEADLINE: Duration = Duration::from_secs(15);

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Every runbook.
    List,
    /// What one would do now.
    Plan {
        /// Of this cluster.
        cluster: String,
        /// Its name.
        runbook: String,
        /// The API's own answer.
        json: bool,
    },
    /// A run of one.
    Start {
        /// Of this cluster.
        cluster: String,
        /// Its name.
        runbook: String,
    },
    /// A run, or all.
    Show {
        /// Its id.
        run: Option<String>,
        /// The API's own answer.
        json: bool,
    },
    /// A word on a run.
    Say {
        /// Its id.
        run: String,
        /// The word.
        word: Word,
        /// Why.
        comment: String,
    },
    /// Keeps every run from doing anything, or lets them go on.
    Switch {
        /// Which of both.
        paused: bool,
        /// Why.
        comment: String,
    },
}

/// A person's word on a run.
#[derive(Clone, Debug)]
pub enum Word {
    /// To its plan.
    Approve {
        /// The plan.
        plan: String,
    },
    /// No.
    Reject,
    /// An end.
    Abort,
    /// It was noted.
    Ack,
}

/// Asks the pgvigil at `address`, and prints what it says. Exit 1: a plan that would not go on.
pub async fn run(address: Address, asked: Asked) -> anyhow::Result<ExitCode> {
    let mut peer = Peer::new(address, DEADLINE);
    let mut code = ExitCode::SUCCESS;
    let text = match asked {
        Asked::List => list(&peer.get::<Value>("/api/v1/runbooks").await?),
        Asked::Plan { cluster, runbook, json } => {
            let answer: Value = peer.get(&format!("/api/v1/clusters/{cluster}/plans/{runbook}")).await?;
            if answer["plan"]["amounts_to"] != "clear" {
                code = ExitCode::FAILURE;
            }
            if json { format!("{answer:#}\n") } else { plan(&answer["plan"]) }
        }
        Asked::Start { cluster, runbook } => {
            let body = json!({ "cluster": cluster, "runbook": runbook });
            peer.post::<Value>("/api/v1/runs", &body).await?;
            format!("runbook {runbook} was asked for in cluster {cluster}: pgvigil runbook show tells of its run\n")
        }
        Asked::Show { run: Some(id), json } => {
            let answer: Value = peer.get(&format!("/api/v1/runs/{id}")).await?;
            if json { format!("{answer:#}\n") } else { whole(&answer) }
        }
        Asked::Show { run: None, json } => {
            let answer: Value = peer.get("/api/v1/runs").await?;
            if json { format!("{answer:#}\n") } else { all(&answer) }
        }
        Asked::Say { run, word, comment } => {
            let (verb, plan) = match word {
                Word::Approve { plan } => ("approve", Some(plan)),
                Word::Reject => ("reject", None),
                Word::Abort => ("abort", None),
                Word::Ack => ("ack", None),
            };
            let mut body = json!({ "comment": comment });
            if let Some(plan) = plan {
                body["plan"] = json!(plan);
            }
            whole(&peer.post::<Value>(&format!("/api/v1/runs/{run}/{verb}"), &body).await?)
        }
        Asked::Switch { paused, comment } => {
            peer.post::<Value>("/api/v1/runbooks", &json!({ "paused": paused, "comment": comment })).await?;
            if paused { "no run does anything until `pgvigil runbook resume`\n" } else { "runs go on\n" }.to_owned()
        }
    };
    std::io::stdout().write_all(text.as_bytes()).context("cannot write the answer")?;
    Ok(code)
}

/// A text of the answer, safe for a terminal; empty for null.
fn text(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn list(answer: &Value) -> String {
    let mut said = String::new();
    if let Some(paused) = answer["paused"].as_object() {
        let (by, comment) = (text(&paused["by"]), text(&paused["comment"]));
        let _ = writeln!(said, "PAUSED by {by}: {comment}");
    }
    for book in items(&answer["runbooks"]) {
        let steps: Vec<String> = items(&book["steps"]).map(text).collect();
        let (name, class, mode) = (text(&book["name"]), text(&book["class"]), text(&book["mode"]));
        let line = format!("{name:<36} {class:<11} {mode:<10} {}", steps.join(", "));
        let _ = writeln!(said, "{}", line.trim_end());
    }
    said
}

fn guards(said: &mut String, seen: &Value) {
    for guard in items(seen) {
        let (answer, name, value) = (text(&guard["answer"]), text(&guard["guard"]), text(&guard["value"]));
        let _ = writeln!(said, "  {answer:<8} {name:<22} {value}");
    }
}

fn plan(preview: &Value) -> String {
    let plan = &preview["plan"];
    let mut said = String::new();
    let _ = writeln!(said, "plan       {}", text(&plan["plan"]));
    let _ = writeln!(said, "runbook    {} (mode {})", text(&plan["runbook"]), text(&plan["mode"]));
    let _ =
        writeln!(said, "primary    {} of timeline {}", text(&plan["episode"]["primary"]), plan["episode"]["timeline"]);
    let candidate = plan["candidate"].as_str().map_or_else(|| "none".to_owned(), |_| text(&plan["candidate"]));
    let loss = plan["loss_bytes"]
        .as_u64()
        .map_or_else(|| "loss unknown".to_owned(), |bytes| format!("may lose {bytes} bytes"));
    let _ = writeln!(said, "candidate  {candidate}, {loss}");
    let _ = writeln!(said, "guards     {}", text(&preview["amounts_to"]));
    guards(&mut said, &plan["guards"]);
    let _ = writeln!(said, "steps");
    for (number, command) in items(&preview["commands"]).enumerate() {
        let _ = writeln!(said, "  {}  {}", number + 1, text(command));
    }
    said
}

fn when(value: &Value) -> String {
    value.as_f64().map(|seconds| Wall::from_seconds(seconds).to_string()).unwrap_or_default()
}

fn whole(run: &Value) -> String {
    let mut said = String::new();
    let rows = [
        ("run", text(&run["id"])),
        (
            "runbook",
            format!("{} of cluster {} (mode {})", text(&run["runbook"]), text(&run["cluster"]), text(&run["mode"])),
        ),
        ("stands", format!("{}, {} of {} steps done", text(&run["phase"]), run["steps_done"], run["steps"])),
        ("step", text(&run["step"])),
        ("primary", text(&run["primary"])),
        ("candidate", text(&run["candidate"])),
        ("plan", text(&run["plan"])),
        ("began", when(&run["began"])),
        ("until", when(&run["until"])),
        ("ended", when(&run["ended"])),
        ("approved", text(&run["approved_by"])),
        ("noted by", text(&run["acknowledged_by"])),
        ("report", text(&run["report"])),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(said, "{name:<10} {value}");
    }
    if run["unacknowledged"] == true {
        let _ = writeln!(said, "           nothing starts by itself until: pgvigil runbook ack {}", text(&run["id"]));
    }
    let _ = writeln!(said, "guards     before {}", text(&run["judged_before"]));
    guards(&mut said, &run["guards"]);
    let _ = writeln!(said, "steps");
    for (number, command) in items(&run["commands"]).enumerate() {
        let _ = writeln!(said, "  {}  {}", number + 1, text(command));
    }
    said
}

fn all(answer: &Value) -> String {
    let mut said = String::new();
    for run in items(&answer["runs"]) {
        let (id, cluster, phase) = (text(&run["id"]), text(&run["cluster"]), text(&run["phase"]));
        let note = if run["unacknowledged"] == true { " (to be acknowledged)" } else { "" };
        let _ = writeln!(
            said,
            "{id:<18} {cluster:<16} {phase:<14} {} {}{note}",
            when(&run["began"]),
            text(&run["runbook"])
        );
    }
    if said.is_empty() { "no runs\n".to_owned() } else { said }
}
