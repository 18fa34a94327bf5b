//! How much of a server's certificate is checked.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use x509_cert::der::{Decode, Encode};

/// What to check. The second part of the latter two: certificates that are trusted as they stand.
#[derive(Debug)]
pub(super) enum Check {
    /// Whoever answers is good enough.
    Nothing,
    /// A trusted certificate vouches for it.
    Chain(RootCertStore, Vec<CertificateDer<'static>>),
    /// The same, and it names the host.
    ChainAndName(RootCertStore, Vec<CertificateDer<'static>>),
}

/// rustls asks it about each server's certificate.
#[derive(Debug)]
pub(super) struct Verifier {
    check: Check,
    algorithms: WebPkiSupportedAlgorithms,
}

/// A certificate that rustls cannot read at all.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server's certificate is X.509 version 1, which cannot be checked: issue it again with extensions \
     (subjectAltName and basicConstraints; openssl x509 -req needs -extfile for them)"
)]
struct VersionOne;

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
        let (roots, pinned, name) = match &self.check {
            Check::Nothing => return Ok(ServerCertVerified::assertion()),
            Check::Chain(roots, pinned) => (roots, pinned, None),
            Check::ChainAndName(roots, pinned) => (roots, pinned, Some(server_name)),
        };
        let is_pinned = pinned.iter().any(|pinned| pinned == end_entity);
        if is_pinned {
            check_validity(end_entity, now)?;
            if name.is_none() {
                return Ok(ServerCertVerified::assertion());
            }
        }
        let certificate =
            ParsedCertificate::try_from(end_entity).map_err(|error| name_version_one(end_entity, error))?;
        if !is_pinned {
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        if let Some(name) = name {
            verify_server_name(&certificate, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
            .map_err(|error| name_version_one(certificate, error))
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
fn check_validity(der: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let certificate = x509_cert::Certificate::from_der(der).map_err(|_| CertificateError::BadEncoding)?;
    let validity = certificate.tbs_certificate.validity;
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
    let certificate = x509_cert::Certificate::from_der(der).ok()?.tbs_certificate;
    if certificate.version != x509_cert::Version::V1 {
        return None;
    }
    Some(certificate.subject_public_key_info.to_der().ok()?.into())
}

fn name_version_one(der: &CertificateDer<'_>, error: Error) -> Error {
    match public_key_of_version_one(der) {
        Some(_) => CertificateError::Other(OtherError(std::sync::Arc::new(VersionOne))).into(),
        None => error,
    }
}
