//! Where a host name leads. Names are looked up before each connect, so that a changed address is followed.

use std::net::IpAddr;

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

/// `config` with these addresses for its one host, to be tried in turn. TLS still compares the name.
pub(super) fn fixed(mut config: Config, addresses: &[IpAddr]) -> Config {
    let Some(name) = name(&config).map(str::to_owned) else { return config };
    for (index, address) in addresses.iter().enumerate() {
        if index > 0 {
            config.host(&name);
        }
        config.hostaddr(*address);
    }
    config
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
        let dialled = fixed(named.clone(), &addresses);
        assert_eq!(dialled.get_hosts(), [Host::Tcp("db1".into()), Host::Tcp("db1".into())]);
        assert_eq!((dialled.get_hostaddrs(), dialled.get_ports()), (&addresses[..], &[5433][..]));
        let mut addressed = named.clone();
        addressed.hostaddr(addresses[0]);
        assert_eq!(fixed(addressed.clone(), &addresses), addressed);
        let mut socket = Config::new();
        socket.host_path("/run/postgresql");
        assert_eq!(fixed(socket.clone(), &addresses), socket);
    }
}
