//! A client of HTTP that shows everything: status, head, body as bytes.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(15);

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn of(bytes: &[u8]) -> Result<Self, String> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no end of the head")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(head.clone())?;
        Ok(Self { status, head, body: bytes[end + 4..].to_owned() })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Opens a connection.
pub async fn connect(port: u16) -> TcpStream {
    timeout(WITHIN, TcpStream::connect(("127.0.0.1", port))).await.expect("a connection in time").expect("a connection")
}

/// Reads until the other side closes. What it sent before a reset counts too.
pub async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let reading = async {
        let mut piece = vec![0; 65536];
        while let Ok(read @ 1..) = stream.read(&mut piece).await {
            all.extend_from_slice(&piece[..read]);
        }
    };
    timeout(WITHIN, reading).await.expect("the other side closes in time");
    all
}

/// Sends bytes and reads until the other side closes.
pub async fn exchange(port: u16, request: &[u8]) -> Result<Answer, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
    // The answer may come before all is sent.
    let (mut reader, mut writer) = stream.split();
    let mut all = Vec::new();
    let sending = async { writer.write_all(request).await.map_err(|error| error.to_string()) };
    let receiving = async {
        let mut piece = vec![0; 65536];
        while let Ok(read @ 1..) = reader.read(&mut piece).await {
            all.extend_from_slice(&piece[..read]);
        }
    };
    let (sent, ()) = timeout(WITHIN, async { tokio::join!(sending, receiving) }).await.map_err(|_| "no answer")?;
    Answer::of(&all).map_err(|error| format!("{error}; sent: {sent:?}"))
}

/// A request of this method; `headers` are whole lines.
pub async fn request(port: u16, method: &str, path: &str, headers: &str) -> Answer {
    // Version 1.0 asks for a body in one piece.
    let request = format!("{method} {path} HTTP/1.0\r\nHost: lab\r\n{headers}\r\n");
    exchange(port, request.as_bytes()).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

pub async fn get(port: u16, path: &str, headers: &str) -> Answer {
    request(port, "GET", path, headers).await
}

/// The same of a server that may not listen yet.
pub async fn try_get(port: u16, path: &str) -> Result<Answer, String> {
    exchange(port, format!("GET {path} HTTP/1.0\r\nHost: lab\r\n\r\n").as_bytes()).await
}
