//! TLS towards clients, as the web config says it.

mod client;

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::{cipher_suite as suite, default_provider, kx_group as group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedCipherSuite};

use super::door::DoorError;
use super::seen::Seen;
use crate::config::read_small;
use crate::config::web::{Curve, Pem, Suite, Tls};

pub(super) use client::names_of;

/// Reads certificates and key. `seen` gets their files.
pub(super) fn server_config(tls: &Tls, http2: bool, seen: &mut Seen) -> Result<ServerConfig, DoorError> {
    let provider = Arc::new(provider(tls));
    let versions: Vec<_> =
        [(tls.tls13, &TLS13), (tls.tls12, &TLS12)].iter().filter(|(is, _)| *is).map(|(_, v)| *v).collect();
    let chain = certificates("cert", &tls.cert, seen)?;
    let key = private_key(&tls.key, seen)?;
    let authorities = tls.client_ca.as_ref().map(|pem| certificates("client_ca", pem, seen)).transpose()?;
    let unusable = |what: String| DoorError::Unusable(format!("tls_server_config cannot be used: {what}"));
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|error| unusable(error.to_string()))?;
    let builder = match client::verifier(tls, authorities.unwrap_or_default(), &provider).map_err(unusable)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            unusable(format!("{} is not the key of {}", said("key", &tls.key), said("cert", &tls.cert)))
        }
        error => unusable(format!("{}: {error}", said("cert", &tls.cert))),
    })?;
    config.ignore_client_order = tls.own_order;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if http2 {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok(config)
}

fn provider(tls: &Tls) -> CryptoProvider {
    let mut provider = default_provider();
    if let Some(curves) = &tls.curves {
        provider.kx_groups = curves.iter().map(|curve| kx_group(*curve)).collect();
    }
    if let Some(suites) = &tls.suites {
        provider.cipher_suites.retain(|suite| suite.tls13().is_some());
        provider.cipher_suites.extend(suites.iter().map(|suite| cipher_suite(*suite)));
    }
    provider
}

fn kx_group(curve: Curve) -> &'static dyn SupportedKxGroup {
    match curve {
        Curve::X25519 => group::X25519,
        Curve::P256 => group::SECP256R1,
        Curve::P384 => group::SECP384R1,
    }
}

fn cipher_suite(name: Suite) -> SupportedCipherSuite {
    match name {
        Suite::EcdsaAes128 => suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        Suite::EcdsaAes256 => suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        Suite::EcdsaChaCha20 => suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        Suite::RsaAes128 => suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        Suite::RsaAes256 => suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        Suite::RsaChaCha20 => suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    }
}

/// `key_file /etc/x.key`, or `key`.
fn said(key: &str, pem: &Pem) -> String {
    match pem {
        Pem::Inline(_) => key.to_owned(),
        Pem::File(path) => format!("{key}_file {}", path.display()),
    }
}

fn text(key: &str, pem: &Pem, seen: &mut Seen) -> Result<String, DoorError> {
    match pem {
        Pem::Inline(text) => Ok(text.reveal().to_owned()),
        Pem::File(path) => file(&format!("{key}_file"), path, seen),
    }
}

fn file(key: &str, path: &Path, seen: &mut Seen) -> Result<String, DoorError> {
    seen.about_to_read(path);
    read_small(path, key).map_err(DoorError::Unusable)
}

fn certificates(key: &str, pem: &Pem, seen: &mut Seen) -> Result<Vec<CertificateDer<'static>>, DoorError> {
    let text = text(key, pem, seen)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(DoorError::Unusable(format!("{} holds no certificate: PEM is needed", said(key, pem)))),
        Err(_) => Err(DoorError::Unusable(format!("{} is not PEM", said(key, pem)))),
    }
}

fn private_key(pem: &Pem, seen: &mut Seen) -> Result<PrivateKeyDer<'static>, DoorError> {
    let text = text("key", pem, seen)?;
    // The parser's own words might quote the key.
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        DoorError::Unusable(format!("{} holds no private key without a passphrase: PEM is needed", said("key", pem)))
    })
}

#[cfg(test)]
mod tests;
