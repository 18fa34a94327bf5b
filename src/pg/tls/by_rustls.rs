//! rustls with ring, which needs no library of the system.

use std::error::Error as StdError;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::verify::{Check, Trusted, Verifier};
use super::{Checked, SslMode, Tls, TlsError, Versions, bad_key, certificates, not_its_key, private_key, words};
use crate::pg::trail::Trail;

const ONLY_12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
const ONLY_13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

type WithVerifier = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

/// How TLS is spoken to one server, with everything that the files say.
pub type Connector = MakeRustlsConnect;

impl Tls {
    /// Makes what a session needs. Reads the files, which leave a `trail`.
    pub fn connector(&self, trail: &Trail) -> Result<Connector, TlsError> {
        Ok(MakeRustlsConnect::new(self.client_config(trail)?))
    }

    pub(super) fn client_config(&self, trail: &Trail) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let check = match self.checked(trail)? {
            Checked::Nothing => Check::Nothing,
            Checked::Chain(named) => Check::Chain(trusted(named)),
            Checked::ChainAndName(named) => Check::ChainAndName(trusted(named)),
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
            Some((cert, path)) if self.mode != SslMode::Disable => {
                let chain = certificates("sslcert", cert, trail)?;
                let key = PrivateKeyDer::from_pem_slice(&private_key(path, trail)?)
                    .map_err(|error| bad_key(path, format!("no private key without a passphrase in it: {error}")))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| not_its_key(cert, &error))
            }
            _ => Ok(builder.with_no_client_auth()),
        }
    }
}

/// A server certificate that is one of those of the file is trusted as it is, which makes self-signed ones work.
fn trusted(named: Vec<CertificateDer<'static>>) -> Trusted {
    let mut anchors = RootCertStore::empty();
    // What cannot be an anchor may still be trusted as it is.
    anchors.add_parsable_certificates(named.iter().cloned());
    Trusted { anchors, named }
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
    let said = match bad {
        Bad::Expired | Bad::ExpiredContext { .. } => words::EXPIRED,
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => words::NOT_YET,
        Bad::UnknownIssuer => words::NOBODY_VOUCHES,
        Bad::BadSignature => words::BAD_SIGNATURE,
        Bad::NotValidForNameContext { expected, presented } => {
            return words::other_host(presented, &expected.to_str());
        }
        Bad::NotValidForName => "the server's certificate is for another host",
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => words::NOT_FOR_SERVERS,
        Bad::Other(other) if other.to_string() == "CaUsedAsEndEntity" => words::SIGNS_ITSELF,
        Bad::Other(other) => return other.to_string(),
        bad => return format!("the server's certificate is not acceptable: {bad}"),
    };
    said.to_owned()
}
