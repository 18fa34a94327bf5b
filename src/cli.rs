//! The command line: what was said, and which part of the house does it.

mod colour;
mod help;
mod pages;
mod runbook;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use rustix::process::{self, DumpableBehavior};
use tracing_subscriber::EnvFilter;

use crate::assets::export::{Exported, Format, Options, export};
use crate::assets::rule_file::{self, Base};
use crate::cluster::maintenance::{lasts, reason};
use crate::config::{self, Environment, duration};
use crate::http::Door;
use crate::log::{self, Log};
use crate::peer::Address;
use crate::runbook::book::{Mode, Step};
use crate::runbook::shelf::{Shelf, Source};
use crate::runbook::step::hook;
use crate::status::{self, Show};
use crate::{app, demo, examine, healthcheck, maintenance};

/// Something was found or refused.
const REFUSED: u8 = 1;
/// Wrong usage or a bad config.
const BAD_CONFIG: u8 = 2;

/// True replication lag and WAL archive state for PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "pgvigil", version = help::SHORT_VERSION, long_version = help::LONG_VERSION, after_help = help::TOP, arg_required_else_help = true)]
struct Cli {
    /// The config file; without one pgvigil.yml, then /etc/pgvigil/pgvigil.yml, then libpq's environment (PGHOST, PGUSER and so on).
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How much is logged: error, warn, info, debug, or a filter such as pgvigil::observe=debug.
    #[arg(long, global = true, value_name = "LEVEL", env = "RUST_LOG", default_value = "info")]
    log: String,
    /// What a line of the log looks like.
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = log::Format::Text)]
    log_format: log::Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch the clusters of the config and answer over HTTP.
    #[command(after_help = help::SERVE)]
    Serve,
    /// Say whether the config is good, without asking any server.
    #[command(after_help = help::CHECK)]
    Check,
    /// Ask every node of the config once, and say what is wrong, why it matters and what mends it.
    #[command(after_help = help::DOCTOR)]
    Doctor {
        /// One JSON array, with an object for each cluster.
        #[arg(long)]
        json: bool,
        /// Exit with 1 for what is unknown, too.
        #[arg(long)]
        strict: bool,
        /// Write a row on the primary of each cluster and time until each standby shows it (docs/write-probe.md).
        #[arg(long)]
        write_probe: bool,
        /// This cluster alone.
        #[arg(long, value_name = "NAME")]
        cluster: Option<String>,
        /// Findings about this node, and about its cluster, alone.
        #[arg(long, value_name = "NAME")]
        node: Option<String>,
    },
    /// Show what a running pgvigil sees, as a table, or live.
    #[command(after_help = help::STATUS)]
    Status {
        #[command(flatten)]
        remote: Remote,
        /// The API's own answers, as one JSON array.
        #[arg(long)]
        json: bool,
        /// Live in the terminal; without one a table at each look.
        #[arg(long, conflicts_with = "json")]
        watch: bool,
        /// Between two looks, 500ms to 1h.
        #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval, requires = "watch")]
        interval: Duration,
    },
    /// Say by the exit code whether a running pgvigil answers, whatever it sees: for a container's HEALTHCHECK.
    #[command(after_help = help::HEALTHCHECK)]
    Healthcheck {
        #[command(flatten)]
        remote: Remote,
    },
    /// Tell a running pgvigil that people work on a cluster, so that rules which heed it stay quiet, or that they are done.
    #[command(after_help = help::MAINTENANCE)]
    Maintenance {
        #[command(subcommand)]
        command: MaintenanceCommand,
    },
    /// The alert bundle: rules, their tests, runbooks, an example for Alertmanager, and boards for Grafana.
    #[command(after_help = help::ASSETS)]
    Assets {
        #[command(subcommand)]
        command: AssetsCommand,
    },
    /// What runbooks would do, do and did, and what you say to that.
    #[command(after_help = help::RUNBOOK)]
    Runbook {
        #[command(subcommand)]
        command: runbook::RunbookCommand,
    },
    /// Start a private cluster with pgvigil and Prometheus, and break it.
    #[command(args_conflicts_with_subcommands = true, after_help = help::DEMO)]
    Demo {
        /// What the runbook for a primary that is gone may do: dry-run, manual or automatic.
        #[arg(long, value_name = "MODE", default_value = "dry-run", value_parser = mode)]
        mode: Mode,
        #[command(subcommand)]
        command: Option<DemoCommand>,
    },
    /// Print what a shell needs to complete pgvigil's words.
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print pgvigil's manual page, or write one for each command.
    #[command(after_help = help::MAN)]
    Man {
        /// The directory for all pages; it is made if it is not there.
        dir: Option<PathBuf>,
    },
}

/// A pgvigil that runs.
#[derive(Debug, Args)]
struct Remote {
    /// The URL of the running pgvigil; without it, where the config says that it listens.
    #[arg(long, value_name = "URL")]
    server: Option<reqwest::Url>,
    /// The file of a bearer token that the running pgvigil knows.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The certificates to trust, PEM, instead of the system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Remote {
    fn address(self, config: Option<&Path>) -> Result<Address, String> {
        let url = self.server.map_or_else(|| address_of(config), Ok)?;
        Ok(Address { url, token_file: self.token_file, ca_file: self.ca_file })
    }
}

#[derive(Debug, Subcommand)]
enum MaintenanceCommand {
    /// From now on; a second start replaces the end of the first.
    #[command(after_help = help::MAINTENANCE_START)]
    Start {
        #[command(flatten)]
        which: Which,
        /// For how long, such as 30m: it ends by itself. 24h at most.
        #[arg(long = "for", value_name = "TIME", value_parser = |text: &str| lasts(text).map(|_| text.to_owned()))]
        lasts: String,
        /// Why, in at most 200 characters. Whoever may look sees it.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// At once.
    #[command(after_help = help::MAINTENANCE_END)]
    End {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, Args)]
struct Which {
    /// A cluster by its name; several times for several. Without it and --all the only one that is watched.
    #[arg(long = "cluster", value_name = "NAME", conflicts_with = "all")]
    clusters: Vec<String>,
    /// All clusters.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Subcommand)]
enum AssetsCommand {
    /// Write the bundle to a directory.
    #[command(after_help = help::EXPORT)]
    Export {
        /// The directory; it is made if it is not there.
        dir: PathBuf,
        /// What is written.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        /// Where runbooks are served, put before /<AlertName> in the runbook_url of every alert.
        #[arg(long, value_name = "URL", value_parser = Base::parse)]
        runbook_base_url: Option<Base>,
        /// The namespace of PrometheusRules.
        #[arg(long, value_name = "NAMESPACE", value_parser = namespace)]
        namespace: Option<String>,
        /// A label of PrometheusRules, such as release=monitoring; again for more.
        #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
        labels: Vec<(String, String)>,
        /// Replace files that differ.
        #[arg(long)]
        force: bool,
    },
}

fn namespace(text: &str) -> Result<String, &'static str> {
    match rule_file::is_namespace(text) {
        true => Ok(text.to_owned()),
        false => Err("a namespace is 1 to 63 of a-z, 0-9 and dash, with a dash at neither end"),
    }
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if rule_file::is_label_key(key) && rule_file::is_label_value(value) => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(
            "write key=value, both of at most 63 letters, digits, dashes, dots and underscores; a domain and a slash may stand before the key",
        ),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    duration::within(text, Duration::from_millis(500), Duration::from_secs(3_600))
}

fn mode(text: &str) -> Result<Mode, &'static str> {
    let known = Mode::ALL.iter().find(|(word, _)| *word == text);
    known.map(|(_, mode)| *mode).ok_or("use dry-run, manual or automatic")
}

#[derive(Debug, Subcommand)]
enum DemoCommand {
    /// Break or mend something in the demo that runs in another terminal.
    #[command(after_help = help::FAULT)]
    Fault {
        /// What to break or mend.
        #[arg(value_enum)]
        name: demo::Fault,
    },
}

/// Does what the command line says. Exit: 0 good, 1 findings or refusal, 2 usage or bad config.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let filter = match EnvFilter::try_new(&cli.log) {
        Ok(filter) => filter,
        Err(error) => return fail(BAD_CONFIG, &format!("--log {}: {error}", cli.log)),
    };
    let log = match Log::start(cli.log_format, filter) {
        Ok(log) => log,
        Err(error) => return fail(REFUSED, &error.to_string()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(REFUSED, &format!("cannot start threads: {error}")),
    };
    let config = cli.config.as_deref();
    match cli.command {
        Command::Serve => serve(runtime, config, log),
        Command::Check => check(config),
        Command::Doctor { json, strict, write_probe, cluster, node } => {
            doctor(&runtime, config, &examine::Options { json, strict, write_probe, cluster, node })
        }
        Command::Status { remote, json, watch, interval } => match remote.address(config) {
            Ok(address) => {
                let show = match (watch, json) {
                    (true, _) => Show::Watch { interval, colour: colour::is_wanted() },
                    (false, true) => Show::Json,
                    (false, false) => Show::Table,
                };
                let shown = status::run(address, show);
                exit(runtime.block_on(shown).map(|()| ExitCode::SUCCESS))
            }
            Err(error) => fail(BAD_CONFIG, &error),
        },
        Command::Healthcheck { remote } => match remote.address(config) {
            Ok(address) => {
                let asked = runtime.block_on(healthcheck::run(address));
                exit(asked.map(|()| ExitCode::SUCCESS).map_err(Into::into))
            }
            Err(error) => fail(BAD_CONFIG, &error),
        },
        Command::Maintenance { command } => {
            let (which, change, remote) = match command {
                MaintenanceCommand::Start { which, lasts, reason, remote } => {
                    (which, maintenance::Change::Start { lasts, reason }, remote)
                }
                MaintenanceCommand::End { which, remote } => (which, maintenance::Change::End, remote),
            };
            let which = maintenance::Which { clusters: which.clusters, all: which.all };
            match remote.address(config) {
                Ok(address) => {
                    let done = maintenance::run(address, which, change);
                    exit(runtime.block_on(done).map(|()| ExitCode::SUCCESS))
                }
                Err(error) => fail(BAD_CONFIG, &error),
            }
        }
        Command::Assets { command } => assets(command),
        Command::Runbook { command } => runbook::run(command, &runtime, config),
        Command::Demo { mode, command: None } => {
            exit(runtime.block_on(demo::run(demo::Options { mode, ..Default::default() })))
        }
        Command::Demo { command: Some(DemoCommand::Fault { name }), .. } => exit(runtime.block_on(demo::fault(name))),
        Command::Completions { shell } => pages::completions(shell),
        Command::Man { dir } => pages::man(dir.as_deref()),
    }
}

fn serve(runtime: tokio::runtime::Runtime, config: Option<&Path>, log: Log) -> ExitCode {
    if let Err(error) = process::set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!("a core file of this process may hold passwords, and cannot be prevented: {error}");
    }
    let environment = Environment::of_this_process();
    let (report, door, shelf) = match judge(config, &environment) {
        Ok(good) => good,
        Err(error) => return fail(BAD_CONFIG, &error.to_string()),
    };
    for note in &report.notes {
        tracing::warn!("{note}");
    }
    let served = runtime.block_on(app::serve(report, door, shelf, environment, log.clone()));
    // A name's lookup or a write may hang in a thread that nobody can stop.
    runtime.shutdown_background();
    log.flush();
    exit(served.map(|()| ExitCode::SUCCESS))
}

fn doctor(runtime: &tokio::runtime::Runtime, config: Option<&Path>, options: &examine::Options) -> ExitCode {
    let environment = Environment::of_this_process();
    let settings = match config::check(config, &environment) {
        Ok(report) => report.settings,
        Err(error) => return fail(BAD_CONFIG, &error.to_string()),
    };
    let visits = match examine::chosen(&settings, &Arc::new(environment), options) {
        Ok(visits) => visits,
        Err(error) => return fail(BAD_CONFIG, &error),
    };
    let found = runtime.block_on(examine::run(visits, &settings, options));
    exit(found.map(|well| if well { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }))
}

/// Where the pgvigil of this config answers: a wildcard address is reached on loopback.
fn address_of(config: Option<&Path>) -> Result<reqwest::Url, String> {
    let report = config::check(config, &Environment::of_this_process()).map_err(|error| error.to_string())?;
    let listen = report.settings.listen;
    let host = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let web = report.settings.web_config.as_deref().map(config::web_config).transpose();
    let web = web.map_err(|error| error.to_string())?;
    let scheme = if web.is_some_and(|web| web.tls.is_some()) { "https" } else { "http" };
    let url = format!("{scheme}://{}", SocketAddr::new(host, listen.port()));
    url.parse().map_err(|error| format!("{url}: {error}"))
}

fn check(config: Option<&Path>) -> ExitCode {
    match judge(config, &Environment::of_this_process()) {
        Ok((report, ..)) => match write!(std::io::stdout(), "{report}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(REFUSED),
        },
        Err(error) => fail(BAD_CONFIG, &error.to_string()),
    }
}

fn assets(
    AssetsCommand::Export { dir, format, runbook_base_url, namespace, labels, force }: AssetsCommand,
) -> ExitCode {
    if format == Format::Files && (namespace.is_some() || !labels.is_empty()) {
        return fail(BAD_CONFIG, "--namespace and --label are for --format prometheusrule: add it, or leave them out");
    }
    let options = Options { format, base: runbook_base_url, namespace, labels: labels.into_iter().collect(), force };
    match export(&dir, &options) {
        Ok(Exported { written, unchanged }) => {
            let dir = dir.display();
            // With nobody left to read it there is nobody to tell.
            let _ = writeln!(std::io::stdout(), "{dir}: {written} files written, {unchanged} were there already");
            ExitCode::SUCCESS
        }
        Err(error) => fail(REFUSED, &error.to_string()),
    }
}

/// The config, the door that it describes, and the runbooks, with what is to be said of them.
fn judge(config: Option<&Path>, environment: &Environment) -> anyhow::Result<(config::Report, Door, Shelf)> {
    let mut report = config::check(config, environment)?;
    let door = Door::open(&report.settings)?;
    report.notes.extend(door.notes(&report.settings));
    let shelf = Shelf::read(&report.settings.runbook_dirs)?;
    report.runbooks = shelf.summary();
    report.runbooks.extend(wrong_hooks(&shelf));
    Ok((report, door, shelf))
}

/// What is wrong with the hooks of each runbook that has steps, as `fence_ready` will see it for the user that this runs as. The
/// built-in ones name hooks that nobody has to have.
fn wrong_hooks(shelf: &Shelf) -> Vec<String> {
    let mut said = Vec::new();
    for entry in shelf.entries().into_iter().filter(|entry| entry.source != Source::BuiltIn) {
        for step in &entry.book.steps {
            let (Step::Fence(hook) | Step::Run { hook, .. }) = step else { continue };
            let programs = [Some(&hook.argv), hook.probe.as_ref()].into_iter().flatten();
            let wrong = programs.filter_map(|argv| hook::check(argv).err());
            said.extend(wrong.map(|error| format!("runbook {} cannot run as it is: {error}", entry.book.name)));
        }
    }
    said
}

fn exit(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| fail(REFUSED, &format!("{error:#}")))
}

fn fail(code: u8, message: &str) -> ExitCode {
    // With nobody left to read it there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "pgvigil: {message}");
    ExitCode::from(code)
}
