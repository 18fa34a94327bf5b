//! What the help of each command says below its options: lines that work, what the exit code means, where to read more.

pub(super) const SHORT_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("BUILT_COMMIT"), ")");

pub(super) const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit  ",
    env!("BUILT_COMMIT"),
    "\nbuilt   ",
    env!("BUILT_PROFILE"),
    " for ",
    env!("BUILT_TARGET"),
    "\nby      ",
    env!("BUILT_RUSTC"),
);

pub(super) const TOP: &str = "\
Examples:
  pgvigil demo                                 a private cluster, to see what this is
  pgvigil check --config pgvigil.yml           is the config good
  pgvigil serve --config pgvigil.yml           watch, and answer on http://127.0.0.1:10187
  pgvigil status --watch                       what it sees, live
  pgvigil runbook show                         what runbooks did and do

Exit: 0 good, 1 something was found or refused, 2 wrong usage or a bad config.

Every command explains itself: pgvigil help COMMAND, or pgvigil man. https://github.com/pgvigil/pgvigil";

pub(super) const SERVE: &str = "\
Examples:
  pgvigil serve --config pgvigil.yml
  pgvigil serve --log-format json --log debug
  pgvigil serve                                the server that PGHOST, PGUSER and so on name, without a config

The config is read again when its file changes and on SIGHUP; SIGTERM ends it in order.

Exit: 0 ended in order, 1 it cannot go on, 2 a bad config.

More: docs/configuration.md, docs/systemd.md, docs/logs.md";

pub(super) const CHECK: &str = "\
Examples:
  pgvigil check --config pgvigil.yml

Exit: 0 it is good, 2 it is not: the file, line and column, and what to write instead.

More: docs/configuration.md";

pub(super) const DOCTOR: &str = "\
Examples:
  pgvigil doctor                               every cluster of the config, asked once
  pgvigil doctor --cluster orders --node b     what concerns one node
  pgvigil doctor --write-probe                 the same, and whether a row that is written shows everywhere
  pgvigil doctor --json --strict               for a script that takes unknown for a finding

Exit: 0 no error and no warning, 1 there are some (with --strict also what is unknown), 2 wrong usage or a bad config.

More: docs/checks/README.md";

pub(super) const HEALTHCHECK: &str = "\
Examples:
  pgvigil healthcheck                          of the pgvigil that the config describes
  pgvigil healthcheck --server http://127.0.0.1:10187

Exit: 0 it answers, 1 it does not, 2 wrong usage or a bad config.

More: docs/install.md";

pub(super) const STATUS: &str = "\
Examples:
  pgvigil status                               of the pgvigil that the config describes
  pgvigil status --watch --interval 5s         live; ? shows the keys, q quits
  pgvigil status --json --server https://db1:10187 --token-file token
  pgvigil status --watch > status.log          without a terminal a table at each look

While pgvigil does not answer, --watch goes on asking, and says how old the picture is.

Exit: 0 shown, 1 no answer or a refusal, 2 wrong usage or a bad config.

More: docs/status.md";

pub(super) const MAINTENANCE: &str = "\
Exit: 0 done, 1 refused: then no cluster is changed at all, 2 wrong usage.

More: docs/maintenance.md";

pub(super) const MAINTENANCE_START: &str = "\
Examples:
  pgvigil maintenance start --cluster orders --for 30m --reason 'minor upgrade' --token-file ops
  pgvigil maintenance start --all --for 2h --token-file ops

Exit: 0 done, 1 refused: then no cluster is changed at all, 2 wrong usage.

More: docs/maintenance.md";

pub(super) const MAINTENANCE_END: &str = "\
Examples:
  pgvigil maintenance end --cluster orders --token-file ops

Exit: 0 done, 1 refused: then no cluster is changed at all, 2 wrong usage.

More: docs/maintenance.md";

pub(super) const ASSETS: &str = "\
Exit: 0 written, 1 refused, 2 wrong usage.

More: docs/alerts.md, docs/runbooks.md";

pub(super) const EXPORT: &str = "\
Examples:
  pgvigil assets export /etc/prometheus/pgvigil
  pgvigil assets export --format prometheusrule --namespace monitoring --label release=prometheus rules
  pgvigil assets export --runbook-base-url https://pgvigil.example/runbooks bundle

Exit: 0 written, 1 a file differs and --force is not there, or it cannot be written, 2 wrong usage.

More: docs/runbooks.md";

pub(super) const RUNBOOK: &str = "\
Examples:
  pgvigil runbook list
  pgvigil runbook plan PostgresPrimaryUnreachable --cluster orders --token-file ops
  pgvigil runbook show

Exit: 0 done, 1 refused, or a plan that would not go on, 2 wrong usage or a bad config.

More: docs/runbooks.md, docs/guards.md, docs/engine.md";

pub(super) const LIST: &str = "\
Examples:
  pgvigil runbook list --server http://127.0.0.1:10187

Exit: 0 shown, 1 no answer or a refusal, 2 wrong usage or a bad config.

More: docs/runbooks.md";

pub(super) const PLAN: &str = "\
Examples:
  pgvigil runbook plan PostgresPrimaryUnreachable --cluster orders --token-file ops

Exit: 0 it would go on, 1 it would not, or no answer or a refusal, 2 wrong usage or a bad config.

More: docs/guards.md";

pub(super) const RUN: &str = "\
Examples:
  pgvigil runbook run PostgresPrimaryUnreachable --cluster orders --token-file ops

Exit: 0 it was asked for, 1 no answer or a refusal, 2 wrong usage or a bad config.

More: docs/runbooks.md";

pub(super) const APPROVE: &str = "\
Examples:
  pgvigil runbook approve 41dac0f282b6c7c7 --plan e7aa5bbee656e64a --comment 'checked with storage' --token-file ops

Exit: 0 it is in the journal, 1 refused: another plan, too late, or not allowed, 2 wrong usage or a bad config.

More: docs/runbooks.md";

pub(super) const REJECT: &str = "\
Examples:
  pgvigil runbook reject 41dac0f282b6c7c7 --comment 'the rack comes back' --token-file ops

Exit: 0 it is in the journal, 1 refused, 2 wrong usage or a bad config.

More: docs/runbooks.md";

pub(super) const ABORT: &str = "\
Examples:
  pgvigil runbook abort 41dac0f282b6c7c7 --token-file ops

What was done before the promotion is undone.

Exit: 0 it is in the journal, 1 refused, 2 wrong usage or a bad config.

More: docs/engine.md";

pub(super) const ACK: &str = "\
Examples:
  pgvigil runbook ack 41dac0f282b6c7c7 --comment 'a was rejoined' --token-file ops

Exit: 0 it is in the journal, 1 refused, 2 wrong usage or a bad config.

More: docs/runbooks.md";

pub(super) const SHOW: &str = "\
Examples:
  pgvigil runbook show
  pgvigil runbook show 41dac0f282b6c7c7 --json

Exit: 0 shown, 1 no answer or no such run, 2 wrong usage or a bad config.

More: docs/engine.md";

pub(super) const PAUSE: &str = "\
Examples:
  pgvigil runbook pause --comment 'storage migration' --token-file ops

Exit: 0 it is in the journal, 1 refused, 2 wrong usage or a bad config.

More: docs/runbooks.md";

pub(super) const RESUME: &str = "\
Examples:
  pgvigil runbook resume --token-file ops

Exit: 0 it is in the journal, 1 refused, 2 wrong usage or a bad config.

More: docs/runbooks.md";

pub(super) const HISTORY: &str = "\
Examples:
  pgvigil runbook history --cluster orders
  pgvigil runbook history --json --config /etc/pgvigil/pgvigil.yml

Exit: 0 the journal is whole, 1 it is damaged or cannot be read, 2 wrong usage or a bad config.

More: docs/webhook.md";

pub(super) const DEMO: &str = "\
Examples:
  pgvigil demo
  pgvigil demo --mode automatic
  pgvigil demo fault kill-primary              in a second terminal

Everything is private, on 127.0.0.1, and gone after Ctrl-C.

Exit: 0 ended, 1 it could not start, 2 wrong usage.";

pub(super) const FAULT: &str = "\
Examples:
  pgvigil demo fault kill-primary
  pgvigil demo fault pause-replay

Exit: 0 done, 1 no demo runs, or it could not be done, 2 wrong usage.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  pgvigil completions bash > /etc/bash_completion.d/pgvigil
  pgvigil completions zsh > /usr/local/share/zsh/site-functions/_pgvigil
  pgvigil completions fish > ~/.config/fish/completions/pgvigil.fish

Exit: 0 written, 1 it cannot be written, 2 wrong usage.";

pub(super) const MAN: &str = "\
Examples:
  pgvigil man | man -l -                       the page of pgvigil itself
  pgvigil man /usr/local/share/man/man1        a page for each command

Exit: 0 written, 1 it cannot be written, 2 wrong usage.";

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory, Parser};

    use super::super::Cli;

    /// Every command with its words, `pgvigil` first.
    fn commands() -> Vec<(String, Command)> {
        fn walk(path: &str, command: &Command, found: &mut Vec<(String, Command)>) {
            found.push((path.to_owned(), command.clone()));
            for below in command.get_subcommands() {
                walk(&format!("{path} {}", below.get_name()), below, found);
            }
        }
        let mut found = Vec::new();
        walk("pgvigil", &Cli::command(), &mut found);
        found
    }

    /// The words of a line as a shell takes them, up to what the shell itself does.
    fn words(line: &str) -> Vec<String> {
        let line = line.split([';', '|', '>']).next().unwrap_or_default();
        let mut words = Vec::new();
        for (index, part) in line.split('\'').enumerate() {
            match index % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        words
    }

    #[test]
    fn every_command_says_what_it_is_for_what_its_exit_code_means_and_shows_a_line() {
        for (path, command) in commands() {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty(), "{path} does not say what it is for");
            let below = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(below.contains("Exit: 0 "), "{path} does not say what its exit code means");
            let only_lists = command.has_subcommands() && path != "pgvigil";
            assert!(only_lists || below.contains("Examples:\n  pgvigil "), "{path} shows no line that works");
        }
    }

    #[test]
    fn every_example_is_understood_and_is_of_its_command() {
        let mut seen = 0;
        for (path, command) in commands() {
            let below = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in below.lines().filter(|line| line.starts_with("  pgvigil")) {
                // What the line is for stands behind several spaces.
                let line = line.trim_start().split("   ").next().unwrap_or_default();
                assert!(line.starts_with(&path), "{path}: {line}");
                if let Err(error) = Cli::try_parse_from(words(line)) {
                    panic!("{path}: {line}: {error}");
                }
                seen += 1;
            }
        }
        assert!(seen > 25, "only {seen} examples were found");
    }

    #[test]
    fn every_document_that_is_named_is_there() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        for (path, command) in commands() {
            let below = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for word in below.split([' ', ',', '\n']).filter(|word| word.starts_with("docs/")) {
                assert!(root.join(word).is_file(), "{path} names {word}, which is not there");
            }
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
