//! `pgvigil completions` and `pgvigil man`: made from the command line itself, so that they cannot say anything else.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, exit};

/// Prints what a shell needs to complete our words.
pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "pgvigil", &mut script);
    exit(print(&script))
}

/// Writes a page for each command into `dir`, or prints that of pgvigil itself.
pub(super) fn man(dir: Option<&Path>) -> ExitCode {
    exit(match dir {
        Some(dir) => pages(dir),
        None => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(Cli::command().disable_help_subcommand(true)).render(&mut page);
            rendered.context("cannot make the page").and_then(|()| print(&page))
        }
    })
}

fn pages(dir: &Path) -> anyhow::Result<ExitCode> {
    let say = |what: &str| format!("cannot {what} {}", dir.display());
    std::fs::create_dir_all(dir).with_context(|| say("make the directory"))?;
    clap_mangen::generate_to(Cli::command(), dir).with_context(|| say("write the pages to"))?;
    Ok(ExitCode::SUCCESS)
}

fn print(text: &[u8]) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Whoever reads has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}
