//! `pgvigil runbook …`.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use tokio::runtime::Runtime;

use super::{BAD_CONFIG, Remote, exit, fail, help};
use crate::config::{self, Environment};
use crate::history;
use crate::runs::{self, Word};

#[derive(Debug, Subcommand)]
pub(super) enum RunbookCommand {
    /// Every runbook with its class, mode and steps.
    #[command(after_help = help::LIST)]
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// What a runbook would do now: the guards with what they see, the candidate, and each command. Nothing is done.
    #[command(after_help = help::PLAN)]
    Plan {
        /// Its name.
        runbook: String,
        /// Of which cluster.
        #[arg(long)]
        cluster: String,
        /// The API's own answer.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Start a runbook now. It does what its mode and the config allow, as if its alert had come.
    #[command(after_help = help::RUN)]
    Run {
        /// Its name.
        runbook: String,
        /// Of which cluster.
        #[arg(long)]
        cluster: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Agree to the plan of a run that waits for it.
    #[command(after_help = help::APPROVE)]
    Approve {
        #[command(flatten)]
        said: Said,
        /// The plan, as `show` names it: another one is not meant.
        #[arg(long)]
        plan: String,
    },
    /// Say no to the plan of a run.
    #[command(after_help = help::REJECT)]
    Reject {
        #[command(flatten)]
        said: Said,
    },
    /// End a run, as long as it has not begun to promote.
    #[command(after_help = help::ABORT)]
    Abort {
        #[command(flatten)]
        said: Said,
    },
    /// Take note of a run that is over, so that others may start by themselves again.
    #[command(after_help = help::ACK)]
    Ack {
        #[command(flatten)]
        said: Said,
    },
    /// One run: what it did, what every guard saw, and why it stands where it stands.
    #[command(after_help = help::SHOW)]
    Show {
        /// Its id; without one, all of them.
        run: Option<String>,
        /// The API's own answer.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Keep every run from doing anything, until `resume`.
    #[command(after_help = help::PAUSE)]
    Pause {
        /// Why.
        #[arg(long, default_value = "")]
        comment: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Let runs go on.
    #[command(after_help = help::RESUME)]
    Resume {
        /// Why.
        #[arg(long, default_value = "")]
        comment: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show the journal: alerts and runs, record by record, and verify it; on its machine, also while pgvigil serve runs.
    #[command(after_help = help::HISTORY)]
    History {
        /// The records as they are written, one JSON object a line.
        #[arg(long)]
        json: bool,
        /// Only alerts and runs of this cluster.
        #[arg(long, value_name = "CLUSTER")]
        cluster: Option<String>,
    },
}

/// A word on a run.
#[derive(Debug, Args)]
pub(super) struct Said {
    /// The run's id.
    run: String,
    /// Why; it stands in the journal.
    #[arg(long, default_value = "")]
    comment: String,
    #[command(flatten)]
    remote: Remote,
}

/// Does what is asked.
pub(super) fn run(command: RunbookCommand, runtime: &Runtime, config: Option<&Path>) -> ExitCode {
    let (remote, asked) = match command {
        RunbookCommand::History { json, cluster } => {
            return match config::check(config, &Environment::of_this_process()) {
                Ok(report) => exit(history::run(&report.settings.state_dir.path, &history::Show { json, cluster })),
                Err(error) => fail(BAD_CONFIG, &error.to_string()),
            };
        }
        RunbookCommand::List { remote } => (remote, runs::Asked::List),
        RunbookCommand::Plan { runbook, cluster, json, remote } => {
            (remote, runs::Asked::Plan { cluster, runbook, json })
        }
        RunbookCommand::Run { runbook, cluster, remote } => (remote, runs::Asked::Start { cluster, runbook }),
        RunbookCommand::Approve { said, plan } => say(said, Word::Approve { plan }),
        RunbookCommand::Reject { said } => say(said, Word::Reject),
        RunbookCommand::Abort { said } => say(said, Word::Abort),
        RunbookCommand::Ack { said } => say(said, Word::Ack),
        RunbookCommand::Show { run, json, remote } => (remote, runs::Asked::Show { run, json }),
        RunbookCommand::Pause { comment, remote } => (remote, runs::Asked::Switch { paused: true, comment }),
        RunbookCommand::Resume { comment, remote } => (remote, runs::Asked::Switch { paused: false, comment }),
    };
    match remote.address(config) {
        Ok(address) => exit(runtime.block_on(runs::run(address, asked))),
        Err(error) => fail(BAD_CONFIG, &error),
    }
}

fn say(said: Said, word: Word) -> (Remote, runs::Asked) {
    (said.remote, runs::Asked::Say { run: said.run, word, comment: said.comment })
}
