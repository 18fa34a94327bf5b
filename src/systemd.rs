//! Telling systemd how we are, by datagrams to the socket that it names in our environment. Nothing here waits: a word that systemd
//! does not take is lost, and the next one follows.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The way to systemd; without one, as in a terminal, nothing is told.
#[derive(Debug, Default)]
pub struct Systemd {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Systemd {
    /// As the environment says (`env` looks variables up). `pid` is ours.
    pub fn of(env: &dyn Fn(&str) -> Option<String>, pid: u32) -> Self {
        let to = env("NOTIFY_SOCKET").and_then(|path| {
            let address = match path.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(&path),
            };
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address.ok()?))
        });
        let is_ours = env("WATCHDOG_PID").is_none_or(|of| of.parse() == Ok(pid));
        let usec = env("WATCHDOG_USEC").and_then(|usec| usec.parse().ok()).filter(|usec| is_ours && *usec > 0);
        Self { watchdog: usec.filter(|_| to.is_some()).map(Duration::from_micros), to }
    }

    /// Within what time systemd wants to hear that we are alive.
    pub const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// We do what we are here for.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// We take in another config; [`Self::ready`] tells the end.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1_000));
    }

    /// We are about to end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// We are alive.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// How we are, in a line for people.
    pub fn status(&self, line: &str) {
        self.tell(&format!("STATUS={line}"));
    }

    fn tell(&self, words: &str) {
        let Some((socket, address)) = &self.to else { return };
        if let Err(error) = socket.send_to_addr(words.as_bytes(), address) {
            tracing::debug!("systemd does not take our word: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Systemd {
        let variables = variables.to_vec();
        let env = move |wanted: &str| {
            variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned())
        };
        Systemd::of(&env, 42)
    }

    #[test]
    fn it_is_told_over_a_socket_in_the_abstract_space_too() {
        let name = format!("pgvigil-notify-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let systemd = of(&[("NOTIFY_SOCKET", &format!("@{name}"))]);
        let mut bytes = [0; 100];
        systemd.status("1 of 2 nodes up");
        let length = socket.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"STATUS=1 of 2 nodes up");
        systemd.reloading();
        let length = socket.recv(&mut bytes).unwrap();
        let text = std::str::from_utf8(&bytes[..length]).unwrap();
        let since = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(since.parse::<u64>().unwrap() > 1_000_000, "{text}");
        // Nobody reads: nothing waits.
        (0..10_000).for_each(|_| systemd.alive());
    }

    #[test]
    fn the_watchdog_is_ours_or_nobodys() {
        let socket = ("NOTIFY_SOCKET", "/run/none");
        for (variables, expected) in [
            (&[][..], None),
            (&[socket], None),
            (&[socket, ("WATCHDOG_USEC", "30000000")], Some(Duration::from_secs(30))),
            (&[socket, ("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "42")], Some(Duration::from_secs(30))),
            (&[socket, ("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "43")], None),
            (&[socket, ("WATCHDOG_USEC", "0")], None),
            (&[socket, ("WATCHDOG_USEC", "soon")], None),
            (&[("WATCHDOG_USEC", "30000000")], None),
        ] {
            let systemd = of(variables);
            assert_eq!(systemd.watchdog(), expected, "{variables:?}");
            systemd.ready();
        }
    }
}
