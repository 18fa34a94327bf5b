//! TLS towards a server, with libpq's meaning of sslmode: by rustls, or with the feature `tls-openssl` by the OpenSSL of the system.

#[cfg_attr(feature = "tls-openssl", path = "tls/by_openssl.rs")]
#[cfg_attr(not(feature = "tls-openssl"), path = "tls/by_rustls.rs")]
mod library;
mod name;
#[cfg(not(feature = "tls-openssl"))]
mod verify;
#[cfg(not(feature = "tls-openssl"))]
mod version_one;
mod words;

use std::fmt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::trail::Trail;
pub use library::{Connector, explain};

/// libpq's sslmode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    #[default]
    Disable,
    /// Plain text; TLS if that is refused.
    Allow,
    /// TLS if the server has it; plain text otherwise. Protects against nobody who is in the way.
    Prefer,
    /// TLS, whoever answers; with a root certificate as `VerifyCa`.
    Require,
    /// TLS with a certificate that the root certificate vouches for, whatever its name.
    VerifyCa,
    /// TLS with a certificate that the root certificate vouches for and that names the host.
    VerifyFull,
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        })
    }
}

/// Who is trusted to vouch for a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// Nobody, and nobody is asked.
    #[default]
    Nobody,
    /// The certificates of a file, PEM.
    File(PathBuf),
    /// The authorities that this system trusts, or those of `SSL_CERT_FILE`.
    System,
}

/// Which versions of TLS are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2.
    Only12,
    /// 1.3.
    Only13,
}

/// What a TLS session to one server needs. Files are read when a connector is made, so that renewed ones count at the next login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whether, and how much of the certificate is checked.
    pub mode: SslMode,
    /// Who vouches for it.
    pub roots: Roots,
    /// Our certificate with its chain, and its key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Which versions are spoken.
    pub versions: Versions,
    /// Whether the server is told the name that we know it by (SNI).
    pub names_host: bool,
}

/// TLS cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be used.
    #[error("{option} {path}: {why}", path = .path.display())]
    File {
        /// The option that names it.
        option: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The library does not take the combination.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// How much of a server's certificate is checked, and by whose.
enum Checked {
    Nothing,
    Chain(Vec<CertificateDer<'static>>),
    ChainAndName(Vec<CertificateDer<'static>>),
}

impl Tls {
    fn checked(&self, trail: &Trail) -> Result<Checked, TlsError> {
        match (self.mode, &self.roots) {
            (SslMode::Disable, _) | (SslMode::Allow | SslMode::Prefer | SslMode::Require, Roots::Nobody) => {
                Ok(Checked::Nothing)
            }
            (SslMode::VerifyFull, roots) => Ok(Checked::ChainAndName(trusted(roots, trail)?)),
            (_, roots) => Ok(Checked::Chain(trusted(roots, trail)?)),
        }
    }
}

/// The certificates of who vouches for servers.
fn trusted(roots: &Roots, trail: &Trail) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    match roots {
        Roots::Nobody => Err(TlsError::Setup("no root certificate: name its file in sslrootcert".to_owned())),
        Roots::File(file) => certificates("sslrootcert", file, trail),
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() {
                let why = "sslrootcert=system: this system has no trusted certificates (package ca-certificates)";
                return Err(TlsError::Setup(why.to_owned()));
            }
            Ok(found.certs)
        }
    }
}

fn certificates(option: &'static str, path: &Path, trail: &Trail) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |why: String| TlsError::File { option, path: path.to_owned(), why };
    trail.about_to_read(path);
    let bytes = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(bad("there is no certificate in it (PEM is needed)".to_owned()))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(bad(format!("it is not PEM: {error}"))),
    }
}

/// A key, PEM, by libpq's rule: nobody else may read it, but one of root may be readable by its group.
fn private_key(path: &Path, trail: &Trail) -> Result<Vec<u8>, TlsError> {
    let bad = |why: String| bad_key(path, why);
    trail.about_to_read(path);
    let metadata = std::fs::metadata(path).map_err(|error| bad(error.to_string()))?;
    let others = if metadata.uid() == 0 { 0o027 } else { 0o077 };
    if !metadata.is_file() || metadata.permissions().mode() & others != 0 {
        return Err(bad("others may access it; chmod it to 0600, or 0640 if root owns it".to_owned()));
    }
    std::fs::read(path).map_err(|error| bad(error.to_string()))
}

fn bad_key(path: &Path, why: String) -> TlsError {
    TlsError::File { option: "sslkey", path: path.to_owned(), why }
}

fn not_its_key(cert: &Path, why: &dyn fmt::Display) -> TlsError {
    TlsError::File { option: "sslcert", path: cert.to_owned(), why: format!("it does not go with sslkey: {why}") }
}

#[cfg(test)]
#[cfg(not(feature = "tls-openssl"))]
mod tests;
