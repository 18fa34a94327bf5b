//! The file that `web_config` names, in the format of Prometheus's exporter-toolkit: TLS, passwords, headers and the rate limit of the
//! door. What cannot be done here is refused rather than passed over.

mod raw;
mod tls;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_saphyr::Spanned;

use super::problem::Problem;
use super::secret::Secret;
use super::yaml;

pub use raw::{RawHeaders, RawHttp, RawRate, RawTls, RawWeb};
pub use tls::{ClientAuth, Curve, Pem, Suite, Tls};

/// A check of a password with a higher cost would take longer than an answer may.
const MAX_BCRYPT_COST: u32 = 15;

/// How the door is secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// TLS; plain HTTP without.
    pub tls: Option<Tls>,
    /// Whether HTTP/2 is offered, under TLS.
    pub http2: bool,
    /// What stands in the head of every answer.
    pub headers: Vec<(&'static str, String)>,
    /// Names, with their bcrypt hashes.
    pub users: BTreeMap<String, Secret>,
    /// How many requests are answered.
    pub rate: Option<Rate>,
}

impl Default for Web {
    fn default() -> Self {
        Self { tls: None, http2: true, headers: Vec::new(), users: BTreeMap::new(), rate: None }
    }
}

/// A token bucket for all requests together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In which one more request is allowed.
    pub interval: Duration,
    /// How many may come at once.
    pub burst: u32,
}

/// Judges the text of a file; its relative paths count from `dir`.
pub(super) fn parse(text: &str, dir: &Path) -> Result<Web, Problem> {
    let raw: RawWeb = yaml::parse(text)?;
    let http = raw.http_server_config.unwrap_or_default();
    let users = raw.basic_auth_users.unwrap_or_default();
    Ok(Web {
        tls: raw.tls_server_config.map(|raw| tls::settle(&raw, dir)).transpose()?.flatten(),
        http2: http.http2.unwrap_or(true),
        headers: http.headers.map(|raw| headers(&raw)).transpose()?.unwrap_or_default(),
        users: users.into_iter().map(user).collect::<Result<_, _>>()?,
        rate: raw.rate_limit.map(|raw| rate(&raw)).transpose()?.flatten(),
    })
}

fn headers(raw: &RawHeaders) -> Result<Vec<(&'static str, String)>, Problem> {
    let any: &[&str] = &[];
    let all = [
        ("Content-Security-Policy", &raw.content_security_policy, any),
        ("Strict-Transport-Security", &raw.strict_transport_security, any),
        ("X-Content-Type-Options", &raw.content_type_options, &["nosniff"]),
        ("X-Frame-Options", &raw.frame_options, &["deny", "sameorigin"]),
        ("X-XSS-Protection", &raw.xss_protection, any),
    ];
    let mut headers = Vec::new();
    for (name, value, allowed) in all {
        let Some(value) = value.as_ref().filter(|value| !value.value.is_empty()) else { continue };
        if !allowed.is_empty() && !allowed.contains(&value.value.as_str()) {
            return Err(Problem::new(value, format!("{name} must be {}", allowed.join(" or "))));
        }
        if !value.value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(Problem::new(value, format!("{name} must be printable ASCII, on one line")));
        }
        headers.push((name, value.value.clone()));
    }
    Ok(headers)
}

fn user((name, hash): (String, Spanned<Secret>)) -> Result<(String, Secret), Problem> {
    if name.is_empty() || name.contains(|c: char| c == ':' || c.is_control()) {
        let what = "a user's name in basic_auth_users must be text without a colon, which would end it";
        return Err(Problem::new(&hash, what));
    }
    match bcrypt_cost(hash.value.reveal()) {
        Some(4..=MAX_BCRYPT_COST) => Ok((name, hash.value)),
        Some(cost) => {
            let what = format!(
                "the bcrypt cost of this user's password is {cost}, and 4 to {MAX_BCRYPT_COST} are possible: more takes longer than an answer may"
            );
            Err(Problem::new(&hash, what))
        }
        None => {
            let what = "this is no bcrypt hash of a password: make one with `htpasswd -nBC 10 \"\" | tr -d ':\\n'`";
            Err(Problem::new(&hash, what))
        }
    }
}

/// The cost of what looks like `$2y$10$` with 53 more characters.
pub(crate) fn bcrypt_cost(hash: &str) -> Option<u32> {
    let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|prefix| hash.strip_prefix(prefix))?;
    let (cost, rest) = rest.split_once('$')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/';
    let good = cost.len() == 2 && rest.len() == 53 && rest.bytes().all(plain);
    cost.parse().ok().filter(|_| good)
}

fn rate(raw: &RawRate) -> Result<Option<Rate>, Problem> {
    let Some(interval) = &raw.interval else {
        return match &raw.burst {
            Some(burst) => Err(Problem::new(burst, "rate_limit has a burst and no interval: set it, such as 100ms")),
            None => Ok(None),
        };
    };
    let bad = |what: &str| Problem::new(interval, what);
    let every = go_duration(&interval.value).map_err(|what| bad(&format!("rate_limit.interval {what}")))?;
    if every.is_zero() {
        return Ok(None);
    }
    match &raw.burst {
        Some(burst) if burst.value >= 1 => Ok(Some(Rate { interval: every, burst: burst.value })),
        Some(burst) => {
            Err(Problem::new(burst, "rate_limit.burst is 0, with which no request is ever answered: use 1 or more"))
        }
        None => Err(bad("rate_limit has no burst, without which no request is ever answered: use 1 or more")),
    }
}

/// A duration as Go writes it: `1m30s`, `100ms`, `0`.
fn go_duration(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "is not a duration such as 100ms or 1m30s";
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(WRONG);
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or("has no unit: write 100ms or 1m30s")?;
        let (number, tail) = rest.split_at(digits);
        let units = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let unit = units.iter().find_map(|(unit, seconds)| Some((tail.strip_prefix(unit)?, seconds)));
        let (tail, unit) = unit.ok_or(WRONG)?;
        seconds += number.parse::<f64>().map_err(|_| WRONG)? * unit;
        rest = tail;
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| "is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_does() {
        for (text, millis) in
            [("0", 0), ("0s", 0), ("1s", 1_000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("100ms", 100)]
        {
            assert_eq!(go_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(go_duration("250us"), Ok(Duration::from_micros(250)));
        for text in ["", "1", "s", "1d", "-1s", "1s ", "1..2s", "1e300h", "999999999999999999999999h", "1m30"] {
            let read = go_duration(text);
            assert!(read.is_err() || text == "1s ", "{text}: {read:?}");
        }
    }

    #[test]
    fn hashes_are_told_from_passwords() {
        let hash = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";
        assert_eq!(bcrypt_cost(hash), Some(10));
        for wrong in ["", "secret", &hash[1..], &hash[..59], "$2y$1$x", &hash.replace('y', "x"), &format!("{hash}x")] {
            assert_eq!(bcrypt_cost(wrong), None, "{wrong}");
        }
    }
}
