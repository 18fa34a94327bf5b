//! Where a host name leads. Names are looked up before each connect, so that a changed address is followed.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use tokio::net::lookup_host;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::failure::{Cause, Failure};

/// More addresses of one name are not tried.
const MOST: usize = 8;

/// The addresses of the one host that `config` names; empty if it is a socket or has its address already.
pub(super) async fn addresses(config: &Config) -> Result<Vec<IpAddr>, Failure> {
    let Some(name) = name(config) else { return Ok(Vec::new()) };
    let failed = |why: &str| Failure::new(Cause::Dns, why);
    let found = lookup_host((name, 0)).await.map_err(|error| failed(&error.to_string()))?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for found in found.map(|found| found.ip()) {
        if !addresses.contains(&found) && addresses.len() < MOST {
            addresses.push(found);
        }
    }
    if addresses.is_empty() { Err(failed("the name has no address")) } else { Ok(addresses) }
}

/// Where a connection can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An address and a port.
    Network(SocketAddr),
    /// A server's unix socket.
    Socket(PathBuf),
}

/// Where the one server of `config` may be, to be tried in turn: at `addresses`, if its name had to be looked up.
pub(super) fn places(config: &Config, addresses: &[IpAddr]) -> Vec<Place> {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match config.get_hosts() {
        [Host::Unix(dir)] => vec![Place::Socket(dir.join(format!(".s.PGSQL.{port}")))],
        _ => {
            let all = addresses.iter().chain(config.get_hostaddrs());
            all.map(|address| Place::Network(SocketAddr::new(*address, port))).collect()
        }
    }
}

/// The name of the one host of `config`, for TLS to compare.
pub(super) fn host_name(config: &Config) -> &str {
    match config.get_hosts() {
        [Host::Tcp(name)] => name,
        _ => "",
    }
}

fn name(config: &Config) -> Option<&str> {
    match (config.get_hosts(), config.get_hostaddrs()) {
        ([Host::Tcp(name)], []) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_tried_under_the_one_name() {
        let mut named = Config::new();
        named.host("db1").port(5433);
        let addresses = ["10.0.0.1".parse().unwrap(), "2001:db8::2".parse().unwrap()];
        let at = |address: &str| Place::Network(address.parse().unwrap());
        assert_eq!(places(&named, &addresses), [at("10.0.0.1:5433"), at("[2001:db8::2]:5433")]);
        assert_eq!(host_name(&named), "db1");
        let mut addressed = named.clone();
        addressed.hostaddr(addresses[0]);
        assert_eq!((places(&addressed, &[]), host_name(&addressed)), (vec![at("10.0.0.1:5433")], "db1"));
        let mut socket = Config::new();
        socket.host_path("/run/postgresql");
        assert_eq!(places(&socket, &[]), [Place::Socket("/run/postgresql/.s.PGSQL.5432".into())]);
        assert_eq!(host_name(&socket), "");
    }
}
