//! Certificates of X.509 version 1, which `openssl x509 -req` makes without `-extfile` and rustls does not read: who vouches for one,
//! and whether the server has its key. What OpenSSL, and so libpq, says of them.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::{Certificate, Version};

use super::verify::check_validity;

/// The certificate, if it is of version 1.
pub(super) fn read(der: &CertificateDer<'_>) -> Option<Certificate> {
    Certificate::from_der(der).ok().filter(|certificate| certificate.tbs_certificate.version == Version::V1)
}

/// Checks that one of `authorities` issued it. A longer chain is not looked for.
pub(super) fn verify(
    certificate: &Certificate,
    authorities: &[CertificateDer<'_>],
    algorithms: &WebPkiSupportedAlgorithms,
    now: UnixTime,
) -> Result<(), Error> {
    check_validity(certificate, now)?;
    let issuer = &certificate.tbs_certificate.issuer;
    let signed = certificate.tbs_certificate.to_der().map_err(|_| CertificateError::BadEncoding)?;
    let mut refused = CertificateError::UnknownIssuer;
    for authority in authorities.iter().filter_map(|der| Certificate::from_der(der).ok()) {
        if authority.tbs_certificate.subject != *issuer || !may_issue(&authority) {
            continue;
        }
        let key = &authority.tbs_certificate.subject_public_key_info;
        let signature = certificate.signature.raw_bytes();
        let fits = |algorithm: &&dyn SignatureVerificationAlgorithm| {
            is(&certificate.signature_algorithm, algorithm.signature_alg_id().as_ref())
        };
        if algorithms
            .all
            .iter()
            .copied()
            .filter(|algorithm| fits(algorithm))
            .any(|it| is_signed(it, key, &signed, signature))
        {
            return check_validity(&authority, now);
        }
        refused = CertificateError::BadSignature;
    }
    Err(refused.into())
}

/// Whether the server has the certificate's key, by what it signed in a handshake of TLS 1.2.
pub(super) fn is_holder(
    certificate: &Certificate,
    message: &[u8],
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let of_scheme = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
    let key = &certificate.tbs_certificate.subject_public_key_info;
    of_scheme.flat_map(|(_, all)| *all).any(|algorithm| is_signed(*algorithm, key, message, signed.signature()))
}

fn is_signed(
    algorithm: &dyn SignatureVerificationAlgorithm,
    key: &SubjectPublicKeyInfoOwned,
    message: &[u8],
    signature: &[u8],
) -> bool {
    is(&key.algorithm, algorithm.public_key_alg_id().as_ref())
        && algorithm.verify_signature(key.subject_public_key.raw_bytes(), message, signature).is_ok()
}

/// `id`: what is within the sequence.
fn is(algorithm: &AlgorithmIdentifierOwned, id: &[u8]) -> bool {
    let encoded = algorithm.to_der().unwrap_or_default();
    // All of them are shorter than 128 bytes: a tag, a length of one byte, and the rest.
    encoded.get(2..) == Some(id)
}

/// An authority of version 1 is one by being named; a later one says that it is.
fn may_issue(authority: &Certificate) -> bool {
    let of = &authority.tbs_certificate;
    let is_authority = of.get::<BasicConstraints>().ok().flatten().is_some_and(|(_, basic)| basic.ca);
    let may_sign = of.get::<KeyUsage>().ok().flatten().is_none_or(|(_, usage)| usage.key_cert_sign());
    of.version == Version::V1 || (is_authority && may_sign)
}
