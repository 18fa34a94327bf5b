//! A scraper: one connection a request, blocking, so that what is timed is pgvigil and little else.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use super::scene::{SOON, TOKEN};

/// One answer.
pub struct Answer {
    /// From the first byte of the request to the last one of the body.
    pub took: Duration,
    /// Bytes of the body as it was sent.
    pub size: usize,
    body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> io::Result<&str> {
        std::str::from_utf8(&self.body).map_err(io::Error::other)
    }
}

/// Asks for a path, compressed or not.
pub fn get(port: u16, path: &str, gzip: bool) -> io::Result<Answer> {
    let encoding = if gzip { "Accept-Encoding: gzip\r\n" } else { "" };
    ask(port, &format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{encoding}\r\n"))
}

/// Starts or ends the maintenance of one cluster, which changes its page at once.
pub fn maintain(port: u16, cluster: &str, start: bool) -> io::Result<()> {
    let (action, lasts) = if start { ("start", ", \"for\": \"1h\"") } else { ("end", "") };
    let body = format!("{{\"action\": \"{action}\", \"clusters\": [\"{cluster}\"]{lasts}}}");
    ask(
        port,
        &format!(
            "POST /api/v1/maintenance HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
    .map(|_| ())
}

fn ask(port: u16, request: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SOON))?;
    let started = Instant::now();
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let took = started.elapsed();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let head = String::from_utf8_lossy(&answer[..end]);
    if !head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
        return Err(io::Error::other(format!("{} to {}", head.lines().next().unwrap_or_default(), request)));
    }
    let body = answer.split_off(end + 4);
    Ok(Answer { took, size: body.len(), body })
}
