//! systemd's side of the talk: a socket of our own that hears what pgvigil tells.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Spawn};
use rustix::process::Signal;
use tokio::time::Instant;

use super::failures::{PGVIGIL, config, opened};
use super::hanging::pipe;
use super::watch::SOON;

/// A loop that did not go round for so long would have ended the talk.
const LONGER_THAN_A_LOOP_MAY_BE_LATE: Duration = Duration::from_secs(5);

/// What systemd would hear.
pub struct Ear {
    socket: UnixDatagram,
    pub path: PathBuf,
    heard: Vec<String>,
}

impl Ear {
    pub fn new(lab: &Lab) -> Self {
        let path = lab.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, path, heard: Vec::new() }
    }

    /// All that was heard, from the start.
    pub fn heard(&mut self) -> &[String] {
        let mut bytes = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut bytes) {
            self.heard.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        }
        &self.heard
    }

    pub fn count(&mut self, word: &str) -> usize {
        self.heard().iter().filter(|heard| heard.starts_with(word)).count()
    }

    async fn until(&mut self, word: &str, times: usize) -> Result<(), LabError> {
        let began = Instant::now();
        while self.count(word) < times {
            assert!(began.elapsed() < SOON, "{times} times {word}: {:?}", self.heard);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn systemd_hears_how_we_are_while_we_run_and_nothing_while_we_stand_still() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let (port, state, mut ear) = (lab.free_port()?, lab.own_dir("state")?, Ear::new(&lab));
    let dsn = lab.path().join("a.dsn");
    const DSN: &str = "host=127.0.0.1 port=1 user=m dbname=postgres\n";
    std::fs::write(&dsn, DSN).unwrap();
    let path = config(&lab, port, &state, &format!("{{name: a, dsn_file: {}}}", dsn.display()));
    let text = std::fs::read_to_string(&path).unwrap();
    let good = format!("timeouts: {{connect: 200ms, query: 200ms}}\n{text}");
    std::fs::write(&path, &good).unwrap();
    const WATCHDOG: Duration = Duration::from_secs(1);
    let notify = ear.path.clone();
    let spawn = || {
        let spawn = Spawn::new("pgvigil", PGVIGIL).arg("serve").arg("--config").arg(&path);
        spawn.env("NOTIFY_SOCKET", &notify).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
    };
    let vigil = opened(lab.spawn(spawn())?, port).await?;
    ear.until("READY=1", 1).await?;
    ear.until("STATUS=0 of 1 nodes up", 1).await?;
    // A server that is down is no reason for silence.
    vigil.until_state("a", "unreachable").await;
    let (began, before) = (Instant::now(), ear.count("WATCHDOG=1"));
    ear.until("WATCHDOG=1", before + 4).await?;
    assert!(began.elapsed() < 4 * WATCHDOG, "{:?}", began.elapsed());
    assert_eq!(ear.count("RELOADING"), 0);

    // A reload begins and ends, whether it is taken in or not.
    for (trigger, text) in [(Some(Signal::HUP), None), (None, Some("listen: x\n")), (None, Some(good.as_str()))] {
        let (reloads, readies) = (ear.count("RELOADING=1\nMONOTONIC_USEC="), ear.count("READY=1"));
        if let Some(signal) = trigger {
            vigil.process().signal(signal)?;
        }
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        ear.until("RELOADING=1\nMONOTONIC_USEC=", reloads + 1).await?;
        ear.until("READY=1", readies + 1).await?;
    }

    // Stopped, we cannot say that we are alive, and go on where we were.
    vigil.process().freeze()?;
    let before = ear.count("WATCHDOG=1");
    tokio::time::sleep(2 * WATCHDOG).await;
    assert_eq!(ear.count("WATCHDOG=1"), before);
    vigil.process().thaw()?;
    ear.until("WATCHDOG=1", before + 2).await?;

    // A disk that does not answer, as this pipe into which nobody writes, is no reason for silence either.
    pipe(&lab, &dsn).await?;
    vigil.until_state("a", "unknown").await;
    let (began, before) = (Instant::now(), ear.count("WATCHDOG=1"));
    while began.elapsed() < LONGER_THAN_A_LOOP_MAY_BE_LATE {
        let heard = ear.count("WATCHDOG=1");
        ear.until("WATCHDOG=1", heard + 1).await?;
    }
    assert!(ear.count("WATCHDOG=1") >= before + 5, "{:?}", ear.heard());
    vigil.process().kill();

    // As systemd would: anew, and in the end in order.
    std::fs::remove_file(&dsn).unwrap();
    std::fs::write(&dsn, DSN).unwrap();
    let (readies, started) = (ear.count("READY=1"), lab.spawn(spawn())?);
    ear.until("READY=1", readies + 1).await?;
    assert_eq!(ear.count("STOPPING"), 0);
    assert_eq!(started.terminate(SOON).await?.code(), Some(0));
    ear.until("STOPPING=1", 1).await?;
    lab.stop().await;
    Ok(())
}
