//! The form `postgresql://…`, cut where libpq cuts it.

use super::{DsnError, Set};

/// `[user[:password]@][host[:port]][/dbname][?name=value&…]`, each part percent-encoded.
pub(super) fn read(uri: &str, set: Set<'_>) -> Result<(), DsnError> {
    // What stands before the first @ is the login, unless a / comes first.
    let (login, rest) = match uri.find(['@', '/']) {
        Some(at) if uri[at..].starts_with('@') => (&uri[..at], &uri[at + 1..]),
        _ => ("", uri),
    };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (place, dbname, query) = match rest.find(['/', '?']) {
        Some(at) if rest[at..].starts_with('/') => {
            let (dbname, query) = rest[at + 1..].split_once('?').unwrap_or((&rest[at + 1..], ""));
            (&rest[..at], dbname, query)
        }
        Some(at) => (&rest[..at], "", &rest[at + 1..]),
        None => (rest, "", ""),
    };
    let (host, port) = hosts_and_ports(place)?;
    let (host, port) = (host.as_str(), port.as_str());
    let cut_off = dbname.contains('@') && login.is_empty() && port.parse::<u16>().is_err() && !port.is_empty();
    if place.contains('@') || cut_off {
        return Err(DsnError::Uri("an @, / or ? in the password is written %40, %2F or %3F"));
    }
    let parts = [("user", user), ("password", password), ("host", host), ("port", port), ("dbname", dbname)];
    for (name, part) in parts.into_iter().filter(|(_, part)| !part.is_empty()) {
        set(name, decode(part)?, 0)?;
    }
    let query = query.strip_suffix('&').unwrap_or(query);
    for pair in query.split('&').filter(|_| !query.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(DsnError::Uri("an option after ? has no ="))?;
        if value.contains('=') {
            return Err(DsnError::Uri("a second = in an option after ? is written %3D"));
        }
        match (decode(name)?.as_str(), decode(value)?) {
            ("ssl", value) if value == "true" => set("sslmode", "require".into(), 0)?,
            (name, value) => set(name, value, 0)?,
        }
    }
    Ok(())
}

/// Those of several servers stand in one list each, as in the other form.
fn hosts_and_ports(place: &str) -> Result<(String, String), DsnError> {
    let places = place.split(',').map(host_and_port).collect::<Result<Vec<_>, _>>()?;
    let (hosts, ports): (Vec<_>, Vec<_>) = places.into_iter().unzip();
    let ports = if ports.iter().all(|port| port.is_empty()) { String::new() } else { ports.join(",") };
    Ok((hosts.join(","), ports))
}

fn host_and_port(place: &str) -> Result<(&str, &str), DsnError> {
    let Some(bracketed) = place.strip_prefix('[') else { return Ok(place.split_once(':').unwrap_or((place, ""))) };
    let (host, rest) = bracketed.split_once(']').ok_or(DsnError::Uri("[ is not closed"))?;
    let port = if rest.is_empty() { Some("") } else { rest.strip_prefix(':') };
    let port = port.ok_or(DsnError::Uri("only :port may follow ]"))?;
    if host.is_empty() {
        return Err(DsnError::Uri("no address stands in []"));
    }
    Ok((host, port))
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Result<String, DsnError> {
    let bad = DsnError::Uri("a % is not followed by the two digits of a byte; a plain % is written %25");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digit =
            |at: usize| tail.get(at).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Err(bad) };
        if high == 0 && low == 0 {
            return Err(DsnError::Uri("%00 stands for no character"));
        }
        bytes.push(high << 4 | low);
        rest = tail.get(2..).unwrap_or_default();
    }
    String::from_utf8(bytes).map_err(|_| DsnError::Uri("the percent-encoded bytes are not UTF-8"))
}
