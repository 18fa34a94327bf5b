//! The thin binary.

use std::process::ExitCode;

/// Gives back what pages and handshakes needed for a moment: of a thousand nodes, glibc's kept most of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pgvigil::cli::run()
}
