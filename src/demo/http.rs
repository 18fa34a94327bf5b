//! Asking a program on this machine whether it is ready.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::lab::{LabError, Spawned, wait_until};

/// Waits until `path` answers 200, or until the program ends.
pub(super) async fn wait_ok(program: &Spawned, port: u16, path: &str, within: Duration) -> Result<(), LabError> {
    let what = format!("{} to answer 200 on http://127.0.0.1:{port}{path}", program.name());
    wait_until(what, within, async || {
        if let Some(status) = program.ended() {
            let (name, log) = (program.name().to_owned(), program.log_tail(20));
            return Ok(Err(LabError::Ended { name, status: status.to_string(), log }));
        }
        let first = first_line(port, path).await.map_err(|error| error.to_string())?;
        if first.split(' ').nth(1) == Some("200") { Ok(Ok(())) } else { Err(first) }
    })
    .await?
}

async fn first_line(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}
