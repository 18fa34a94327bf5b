//! A service beside the servers, such as Patroni or etcd: where it answers, and who we are to it.

use std::path::{Path, PathBuf};

use serde_saphyr::Spanned;
use url::Url;

use super::observers::{address, is_loopback};
use super::problem::Problem;
use super::secret::Secret;

/// A service has as many addresses at most.
const MOST: usize = 16;

/// A service that answers at several addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Where it answers, tried in turn: http or https, without a path and without a user. At least one, each once.
    pub urls: Vec<Url>,
    /// Who we are to it.
    pub login: Option<Login>,
    /// The certificates to trust, PEM; those of the system if there is none.
    pub ca_file: Option<PathBuf>,
}

/// A user and the file that holds their password; read at each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub username: String,
    /// The file with nothing but the password.
    pub password_file: PathBuf,
}

impl Service {
    /// Whether our password is seen by everybody on the way.
    pub(super) fn shows_its_password(&self) -> bool {
        self.login.is_some() && self.urls.iter().any(|url| url.scheme() == "http" && !is_loopback(url))
    }

    /// Its addresses as a person reads them.
    pub(super) fn shown(&self) -> String {
        let urls: Vec<&str> = self.urls.iter().map(Url::as_str).collect();
        urls.join(", ")
    }
}

/// A service as it is written.
pub(super) struct Raw<'a> {
    /// What it is called in sentences, such as `patroni of cluster orders`.
    pub(super) of: &'a str,
    /// The key of its addresses, with them.
    pub(super) urls: (&'static str, &'a Spanned<Vec<Spanned<Secret>>>),
    pub(super) username: Option<&'a Spanned<String>>,
    pub(super) password_file: Option<&'a Spanned<String>>,
    pub(super) ca_file: Option<&'a Spanned<String>>,
}

impl Raw<'_> {
    /// Judges it. Relative paths count from `dir`.
    pub(super) fn judge(&self, dir: &Path) -> Result<Service, Problem> {
        let urls = self.addresses()?;
        let ca_file = self.file("ca_file", self.ca_file, dir)?;
        if let (Some(given), true) = (self.ca_file, urls.iter().all(|url| url.scheme() == "http")) {
            let what =
                format!("ca_file of {} is for https, and no address of it is https: change one of them", self.of);
            return Err(Problem::new(given, what));
        }
        Ok(Service { urls, login: self.login(dir)?, ca_file })
    }

    fn addresses(&self) -> Result<Vec<Url>, Problem> {
        let (key, given) = self.urls;
        match given.value.len() {
            0 => return Err(Problem::new(given, format!("{key} of {} is empty: name one at least", self.of))),
            1..=MOST => {}
            _ => return Err(Problem::new(given, format!("{key} of {} names more than {MOST}", self.of))),
        }
        let mut urls = Vec::new();
        for text in &given.value {
            let Some(url) = address(text.value.reveal()) else {
                let what = format!(
                    "this is no address for {key} of {}: http or https, a host, a port, and neither user, path nor query",
                    self.of
                );
                return Err(Problem::new(text, what));
            };
            if urls.contains(&url) {
                return Err(Problem::new(text, format!("{key} of {} names this address twice: keep one", self.of)));
            }
            urls.push(url);
        }
        Ok(urls)
    }

    fn login(&self, dir: &Path) -> Result<Option<Login>, Problem> {
        let password_file = self.file("password_file", self.password_file, dir)?;
        match (self.username, password_file) {
            (None, None) => Ok(None),
            (Some(user), Some(_))
                if user.value.is_empty() || user.value.contains(|c: char| c == ':' || c.is_control()) =>
            {
                Err(Problem::new(user, format!("username of {} is empty, or has a colon in it", self.of)))
            }
            (Some(user), Some(password_file)) => Ok(Some(Login { username: user.value.clone(), password_file })),
            (Some(user), None) => {
                Err(Problem::new(user, format!("{} has a username and no password_file: name the file", self.of)))
            }
            (None, Some(_)) => {
                let given = self.password_file.map_or(super::Origin::Nowhere, super::Origin::from);
                Err(Problem::new(given, format!("{} has a password_file and no username: write it", self.of)))
            }
        }
    }

    fn file(&self, key: &str, given: Option<&Spanned<String>>, dir: &Path) -> Result<Option<PathBuf>, Problem> {
        match given {
            None => Ok(None),
            Some(file) if file.value.is_empty() => {
                Err(Problem::new(file, format!("{key} of {} is empty: name a file", self.of)))
            }
            Some(file) => Ok(Some(dir.join(&file.value))),
        }
    }
}
