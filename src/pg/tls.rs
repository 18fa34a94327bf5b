//! TLS towards a server, with libpq's meaning of sslmode on rustls.

mod name;
mod verify;
mod version_one;

use std::error::Error as StdError;
use std::fmt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::trail::Trail;
use verify::{Check, Trusted, Verifier};

const ONLY_12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
const ONLY_13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

type WithVerifier = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

/// How TLS is spoken to one server, with everything that the files say.
pub type Connector = MakeRustlsConnect;

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
    /// rustls does not take the combination.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

impl Tls {
    /// Makes what a session needs. Reads the files, which leave a `trail`.
    pub fn connector(&self, trail: &Trail) -> Result<Connector, TlsError> {
        Ok(MakeRustlsConnect::new(self.client_config(trail)?))
    }

    fn client_config(&self, trail: &Trail) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let check = match (self.mode, &self.roots) {
            (SslMode::Disable, _) | (SslMode::Allow | SslMode::Prefer | SslMode::Require, Roots::Nobody) => {
                Check::Nothing
            }
            (SslMode::VerifyFull, roots) => Check::ChainAndName(trusted(roots, trail)?),
            (_, roots) => Check::Chain(trusted(roots, trail)?),
        };
        let verifier = Verifier::new(check, provider.signature_verification_algorithms);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(match self.versions {
                Versions::Both => rustls::DEFAULT_VERSIONS,
                Versions::Only12 => ONLY_12,
                Versions::Only13 => ONLY_13,
            })
            .map_err(|error| TlsError::Setup(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = self.identify(builder, trail)?;
        config.enable_sni = self.names_host;
        // PostgreSQL resumes no session, and room for them is kept for each node.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn identify(&self, builder: WithVerifier, trail: &Trail) -> Result<ClientConfig, TlsError> {
        match &self.identity {
            Some((cert, key)) if self.mode != SslMode::Disable => {
                let chain = certificates("sslcert", cert, trail)?;
                let key = private_key(key, trail)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| TlsError::File {
                    option: "sslcert",
                    path: cert.clone(),
                    why: format!("it does not go with sslkey: {error}"),
                })
            }
            _ => Ok(builder.with_no_client_auth()),
        }
    }
}

/// Who vouches for servers. A server certificate that is one of those of the file is trusted as it is, which makes self-signed ones
/// work.
fn trusted(roots: &Roots, trail: &Trail) -> Result<Trusted, TlsError> {
    let named = match roots {
        Roots::Nobody => {
            return Err(TlsError::Setup("no root certificate: name its file in sslrootcert".to_owned()));
        }
        Roots::File(file) => certificates("sslrootcert", file, trail)?,
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() {
                let why = "sslrootcert=system: this system has no trusted certificates (package ca-certificates)";
                return Err(TlsError::Setup(why.to_owned()));
            }
            found.certs
        }
    };
    let mut anchors = RootCertStore::empty();
    // What cannot be an anchor may still be trusted as it is.
    anchors.add_parsable_certificates(named.iter().cloned());
    Ok(Trusted { anchors, named })
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

/// libpq's rule: nobody else may read the key, but a key of root may be readable by its group.
fn private_key(path: &Path, trail: &Trail) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bad = |why: String| TlsError::File { option: "sslkey", path: path.to_owned(), why };
    trail.about_to_read(path);
    let metadata = std::fs::metadata(path).map_err(|error| bad(error.to_string()))?;
    let others = if metadata.uid() == 0 { 0o027 } else { 0o077 };
    if !metadata.is_file() || metadata.permissions().mode() & others != 0 {
        return Err(bad("others may access it; chmod it to 0600, or 0640 if root owns it".to_owned()));
    }
    PrivateKeyDer::from_pem_file(path)
        .map_err(|error| bad(format!("no private key without a passphrase in it: {error}")))
}

/// What went wrong in a TLS handshake, in plain words; `None` if `error` has nothing to do with TLS.
pub fn explain(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut error = Some(error);
    while let Some(current) = error {
        if let Some(rustls) = current.downcast_ref::<rustls::Error>() {
            return Some(explain_rustls(rustls));
        }
        error = match current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    None
}

fn explain_rustls(error: &rustls::Error) -> String {
    use CertificateError as Bad;
    let rustls::Error::InvalidCertificate(bad) = error else {
        return match error {
            rustls::Error::AlertReceived(alert) => format!("the server ended the handshake with the alert {alert:?}"),
            rustls::Error::PeerIncompatible(_) => "the server offers no TLS 1.2 or 1.3 that we share".to_owned(),
            rustls::Error::InvalidMessage(_) => "what answers does not speak TLS".to_owned(),
            error => error.to_string(),
        };
    };
    let words = match bad {
        Bad::Expired | Bad::ExpiredContext { .. } => {
            "the server's certificate has expired, or this machine's clock is wrong"
        }
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet, or this machine's clock is wrong"
        }
        Bad::UnknownIssuer => "no certificate in sslrootcert vouches for the server's certificate",
        Bad::BadSignature => "the server's certificate is not signed by the key of the issuer that it names",
        Bad::NotValidForNameContext { expected, presented } if presented.is_empty() => {
            let name = expected.to_str();
            return format!(
                "the server's certificate names no host: issue it with subjectAltName {name}, or use sslmode=verify-ca"
            );
        }
        Bad::NotValidForNameContext { expected, presented } => {
            let names = presented.join(", ");
            return format!("the server's certificate is for {names}, not for {}", expected.to_str());
        }
        Bad::NotValidForName => "the server's certificate is for another host",
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
            "the server's certificate is not meant for servers (extendedKeyUsage)"
        }
        Bad::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            "the server's certificate is an authority's own: if it signs itself, name it in sslrootcert, else issue another"
        }
        Bad::Other(other) => return other.to_string(),
        bad => return format!("the server's certificate is not acceptable: {bad}"),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests;
