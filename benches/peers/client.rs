//! A scraper: one kept connection, one request at a time, blocking, so that what is timed is the exporter and little else.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

/// A connection to an exporter.
pub struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
    chunk: Vec<u8>,
}

/// One answer.
pub struct Answer<'a> {
    /// From the first byte of the request to the last one of the body.
    pub took: Duration,
    /// The HTTP status.
    pub status: u16,
    /// The body, as it came (chunk sizes still in it).
    pub body: &'a str,
}

impl Client {
    /// Connects; no answer may take longer than `within`.
    pub fn connect(port: u16, within: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(within))?;
        Ok(Self { stream, answer: Vec::new(), chunk: vec![0; 256 * 1024] })
    }

    /// Scrapes `/metrics`.
    pub fn scrape(&mut self) -> io::Result<Answer<'_>> {
        let started = Instant::now();
        self.stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        self.answer.clear();
        let mut end = None;
        while end.is_none_or(|end: End| !end.reached(&self.answer)) {
            let read = self.stream.read(&mut self.chunk)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.answer.extend_from_slice(&self.chunk[..read]);
            end = end.or_else(|| End::of(&self.answer));
        }
        let took = started.elapsed();
        let text = std::str::from_utf8(&self.answer).map_err(io::Error::other)?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Answer { took, status, body })
    }
}

/// Where an answer ends.
#[derive(Clone, Copy)]
enum End {
    At(usize),
    LastChunk,
}

impl End {
    fn of(answer: &[u8]) -> Option<Self> {
        let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        Some(length.map_or(Self::LastChunk, |length| Self::At(head + 4 + length)))
    }

    fn reached(self, answer: &[u8]) -> bool {
        match self {
            Self::At(end) => answer.len() >= end,
            // A page of metrics has no carriage return of its own.
            Self::LastChunk => answer.ends_with(b"\r\n0\r\n\r\n"),
        }
    }
}

/// The value of a series, written as it stands on the page.
pub fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit_once(' ')?.1.trim().parse().ok()
}
