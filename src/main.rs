//! The thin binary.

use std::process::ExitCode;

/// Gives back what pages and handshakes needed for a moment: of a thousand nodes, glibc's kept most of it. Its second version
/// waits 10 ms before it does, the third a second, which was half as much again on 300 nodes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pgvigil::cli::run()
}
