//! Whether a certificate names the host, by libpq's rule: its subjectAltName, and where that has nothing of the host's kind the common name.

use std::net::IpAddr;

use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The certificate names other hosts, these, or none.
pub(super) struct Unnamed(pub(super) Vec<String>);

/// Whether `certificate` is for `host`, a name or an address.
pub(super) fn check(certificate: &Certificate, host: &str) -> Result<(), Unnamed> {
    let address = host.parse::<IpAddr>().ok();
    let mut counts_common_name = true;
    let mut names = Vec::new();
    let alternatives = certificate.tbs_certificate.get::<SubjectAltName>().ok().flatten();
    for alternative in alternatives.map(|(_, all)| all.0).unwrap_or_default() {
        match alternative {
            GeneralName::DnsName(name) => {
                counts_common_name &= address.is_some();
                if is_for(name.as_str(), host) {
                    return Ok(());
                }
                names.push(name.to_string());
            }
            GeneralName::IpAddress(bytes) => {
                counts_common_name &= address.is_none();
                let Some(named) = ip(bytes.as_bytes()) else { continue };
                if Some(named) == address {
                    return Ok(());
                }
                names.push(named.to_string());
            }
            _ => {}
        }
    }
    match common_name(certificate).filter(|_| counts_common_name) {
        Some(name) if is_for(&name, host) => Ok(()),
        name => {
            names.extend(name);
            Err(Unnamed(names))
        }
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

fn common_name(certificate: &Certificate) -> Option<String> {
    let parts = certificate.tbs_certificate.subject.0.iter().flat_map(|part| part.0.iter());
    let value = parts.filter(|part| part.oid == COMMON_NAME).map(|part| part.value.value()).next()?;
    std::str::from_utf8(value).ok().map(str::to_owned)
}

/// A name that begins with `*.` stands for one label in its place.
fn is_for(name: &str, host: &str) -> bool {
    if name.contains('\0') {
        return false;
    }
    let is_wild = |suffix: &str| {
        let at = host.len().checked_sub(suffix.len());
        let cut = at.and_then(|at| Some((host.get(..at)?, host.get(at..)?)));
        cut.is_some_and(|(label, rest)| rest.eq_ignore_ascii_case(suffix) && !label.is_empty() && !label.contains('.'))
    };
    name.eq_ignore_ascii_case(host)
        || name.strip_prefix('*').is_some_and(|rest| rest.len() > 1 && rest.starts_with('.') && is_wild(rest))
}

#[cfg(test)]
mod tests {
    use super::is_for;

    #[test]
    fn a_star_is_one_label() {
        for (name, host, fits) in [
            ("DB.example", "db.Example", true),
            ("*.example", "db.example", true),
            ("*.example", "a.db.example", false),
            ("*.example", ".example", false),
            ("*.example", "example", false),
            ("db*.example", "db1.example", false),
            ("*", "db", false),
            ("*.", "db.", false),
            ("db.example\0.evil", "db.example", false),
        ] {
            assert_eq!(is_for(name, host), fits, "{name} {host}");
        }
    }
}
