//! How much of a server's certificate is checked.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use super::{name, version_one};

/// Who vouches for servers.
#[derive(Debug)]
pub(super) struct Trusted {
    /// The authorities among them.
    pub(super) anchors: RootCertStore,
    /// All of them as they stand: a server may show one itself.
    pub(super) named: Vec<CertificateDer<'static>>,
}

/// What to check.
#[derive(Debug)]
pub(super) enum Check {
    /// Whoever answers is good enough.
    Nothing,
    /// A trusted certificate vouches for it.
    Chain(Trusted),
    /// The same, and it names the host.
    ChainAndName(Trusted),
}

/// rustls asks it about each server's certificate.
#[derive(Debug)]
pub(super) struct Verifier {
    check: Check,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(check: Check, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { check, algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (trusted, name) = match &self.check {
            Check::Nothing => return Ok(ServerCertVerified::assertion()),
            Check::Chain(trusted) => (trusted, None),
            Check::ChainAndName(trusted) => (trusted, Some(server_name)),
        };
        let read = Certificate::from_der(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        if trusted.named.iter().any(|named| named == end_entity) {
            check_validity(&read, now)?;
        } else if let Some(old) = version_one::read(end_entity) {
            version_one::verify(&old, &trusted.named, &self.algorithms, now)?;
        } else {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, &trusted.anchors, intermediates, now, algorithms)?;
        }
        if let Some(host) = name {
            name::check(&read, &host.to_str()).map_err(|name::Unnamed(presented)| {
                CertificateError::NotValidForNameContext { expected: host.to_owned(), presented }
            })?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match version_one::read(certificate) {
            Some(old) if version_one::is_holder(&old, message, signed, &self.algorithms) => {
                Ok(HandshakeSignatureValid::assertion())
            }
            Some(_) => Err(CertificateError::BadSignature.into()),
            None => verify_tls12_signature(message, certificate, signed, &self.algorithms),
        }
    }

    /// Proves that the server has the certificate's key, whatever the certificate is worth: without it a copied certificate
    /// would pass channel binding.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match public_key_of_version_one(certificate) {
            Some(key) => verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms),
            None => verify_tls13_signature(message, certificate, signed, &self.algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What the chain's check does for other certificates.
pub(super) fn check_validity(certificate: &Certificate, now: UnixTime) -> Result<(), Error> {
    let validity = &certificate.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// The key of a certificate that rustls does not read; `None` if it reads it.
fn public_key_of_version_one(der: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let certificate = version_one::read(der)?.tbs_certificate;
    Some(certificate.subject_public_key_info.to_der().ok()?.into())
}
