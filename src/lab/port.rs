//! Free TCP ports of the loopback address.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;
use std::sync::PoisonError;

use super::LabError;

/// Below the ephemeral range of Linux (32768 and up), so that no outgoing connection takes a port between the moment
/// it was chosen and the moment a server binds it.
const LOW: u16 = 16_000;
const HIGH: u16 = 31_999;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that nobody listens on and that this process has not been given before.
pub(super) fn free() -> Result<u16, LabError> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let span = HIGH - LOW + 1;
    // Two processes that start together must not walk the same row of ports.
    let start = u16::try_from(super::root::random() % u64::from(span)).unwrap_or(0);
    for step in 0..span {
        let port = LOW + (start + step) % span;
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    Err(LabError::NoPort { low: LOW, high: HIGH })
}
