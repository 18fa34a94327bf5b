//! A listener for Alertmanager's webhook, on a thread of its own: it outlives the test that started the stage.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(5);

/// One alert of one notification.
#[derive(Clone, Debug)]
pub struct Heard {
    pub at: Instant,
    pub is_firing: bool,
    pub labels: BTreeMap<String, String>,
}

/// Takes notifications until it is dropped.
pub struct Webhook {
    port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Webhook {
    pub fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let (heard, is_over) = (Arc::<Mutex<Vec<Heard>>>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (heard, is_over) = (Arc::clone(&heard), Arc::clone(&is_over));
            move || {
                for stream in listener.incoming() {
                    if is_over.load(Relaxed) {
                        return;
                    }
                    // One that asks for nothing must not keep the others waiting.
                    let heard = Arc::clone(&heard);
                    std::thread::spawn(move || stream.and_then(|stream| take(stream, &heard)));
                }
            }
        });
        Ok(Self { port, heard, is_over, thread: Some(thread) })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything that came so far, in order.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Takes one request and says yes.
fn take(mut stream: TcpStream, heard: &Mutex<Vec<Heard>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let (mut request, mut piece) = (Vec::new(), [0; 65_536]);
    let body = loop {
        let read = stream.read(&mut piece)?;
        request.extend_from_slice(&piece[..read]);
        if let Some(body) = whole_body(&request) {
            break body;
        }
        if read == 0 {
            return Ok(());
        }
    };
    let at = Instant::now();
    let labels = |alert: &Value| {
        let labels = alert["labels"].as_object().into_iter().flatten();
        labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
    };
    let alerts = body["alerts"].as_array().into_iter().flatten();
    let alerts = alerts.map(|alert| Heard { at, is_firing: alert["status"] == "firing", labels: labels(alert) });
    heard.lock().unwrap().extend(alerts);
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

/// The body, once all of it is there.
fn whole_body(request: &[u8]) -> Option<Value> {
    let end = request.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()?;
    let body = request.get(end..end + length)?;
    Some(serde_json::from_slice(body).unwrap_or_default())
}
