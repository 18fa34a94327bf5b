//! The other pgvigils that watch the same clusters: where they answer, and who we are to them.

use std::path::{Path, PathBuf};

use serde_saphyr::Spanned;
use url::{Host, Url};

use super::problem::Problem;
use super::raw::RawObserver;
use super::settings::{name, unique};

/// Another pgvigil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observer {
    /// Label `observer`; unique.
    pub name: String,
    /// Where it answers: http or https, without a path and without a user.
    pub url: Url,
    /// The file of our token there; read at each question.
    pub token_file: Option<PathBuf>,
    /// The certificates to trust; those of the system if there is none.
    pub ca_file: Option<PathBuf>,
}

impl Observer {
    /// Whether our token is seen by everybody on the way.
    pub(super) fn shows_its_token(&self) -> bool {
        self.token_file.is_some() && self.url.scheme() == "http" && !is_loopback(&self.url)
    }
}

/// Whether it is on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Judges the section. Relative paths count from `dir`.
pub(super) fn observers(raw: &[RawObserver], dir: &Path) -> Result<Vec<Observer>, Problem> {
    unique(raw.iter().map(|observer| &observer.name), "observers")?;
    let mut observers: Vec<Observer> = Vec::new();
    for raw in raw {
        let observer = observer(raw, dir)?;
        if let Some(twin) = observers.iter().find(|twin| twin.url == observer.url) {
            let what = format!("observers {} and {} have the same url: remove one", twin.name, observer.name);
            return Err(Problem::new(&raw.url, what));
        }
        observers.push(observer);
    }
    Ok(observers)
}

fn observer(raw: &RawObserver, dir: &Path) -> Result<Observer, Problem> {
    let name = name(&raw.name)?;
    let Some(url) = address(raw.url.value.reveal()) else {
        let what = format!(
            "url of observer {name} is not the address of a pgvigil, such as https://pgvigil-b:10187: http or https, a host, and neither user, path nor query"
        );
        return Err(Problem::new(&raw.url, what));
    };
    let file = |key: &str, given: &Option<Spanned<String>>| match given {
        None => Ok(None),
        Some(file) if file.value.is_empty() => {
            Err(Problem::new(file, format!("{key} of observer {name} is empty: name a file")))
        }
        Some(file) => Ok(Some(dir.join(&file.value))),
    };
    let (token_file, ca_file) = (file("token_file", &raw.token_file)?, file("ca_file", &raw.ca_file)?);
    if let (Some(given), "http") = (&raw.ca_file, url.scheme()) {
        let what = format!("ca_file of observer {name} is for https, and its url is http: change one of them");
        return Err(Problem::new(given, what));
    }
    Ok(Observer { name, url, token_file, ca_file })
}

/// An address: http or https, a host, and neither user, path nor query.
pub(super) fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare && is_anonymous).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_a_host_and_no_more() {
        for text in ["http://10.0.0.1:10187", "https://pgvigil-b", "https://pgvigil-b/", "http://[2001:db8::2]:10187/"]
        {
            assert!(address(text).is_some(), "{text}");
        }
        for text in [
            "",
            "pgvigil-b:10187",
            "ftp://b",
            "http://",
            "http://b/metrics",
            "http://b?x",
            "http://b#x",
            "http://u@b",
            "http://u:p@b",
            "unix:/run/x",
            "http://b:99999",
        ] {
            assert!(address(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_token_is_safe_under_tls_and_on_this_machine() {
        for (url, shows) in [
            ("http://127.0.0.1:1", false),
            ("http://localhost:1", false),
            ("http://[::1]:1", false),
            ("https://b", false),
            ("http://b", true),
            ("http://10.0.0.1", true),
        ] {
            let url = address(url).unwrap();
            let observer = Observer { name: "b".into(), url, token_file: Some("t".into()), ca_file: None };
            assert_eq!(observer.shows_its_token(), shows, "{}", observer.url);
            assert!(!Observer { token_file: None, ..observer }.shows_its_token());
        }
    }
}
