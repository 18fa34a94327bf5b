//! `tls_server_config`: which certificate is shown, which clients are let in, and which words of Go's mean what here.

use std::path::{Path, PathBuf};

use serde_saphyr::Spanned;

use super::raw::RawTls;
use crate::config::Secret;
use crate::config::problem::{Origin, Problem};

/// How TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate with its chain.
    pub cert: Pem,
    /// Its key.
    pub key: Pem,
    /// Which clients are let in.
    pub client_auth: ClientAuth,
    /// Who vouches for clients; there where they are verified.
    pub client_ca: Option<Pem>,
    /// One of these must be among the names of a client's certificate, unless empty.
    pub client_allowed_sans: Vec<String>,
    /// Whether TLS 1.2 is spoken.
    pub tls12: bool,
    /// Whether TLS 1.3 is spoken.
    pub tls13: bool,
    /// Which suites of TLS 1.2 are offered, in this order; `None`: all.
    pub suites: Option<Vec<Suite>>,
    /// Whether our order of suites counts, and not the client's.
    pub own_order: bool,
    /// Which groups the key exchange may use, in this order; `None`: all.
    pub curves: Option<Vec<Curve>>,
}

/// Where certificates or a key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// In the web config.
    Inline(Secret),
    /// In a file, read again when it changes.
    File(PathBuf),
}

/// Go's `ClientAuthType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate is asked for.
    NoClientCert,
    /// One is asked for; none, or any, will do.
    RequestClientCert,
    /// One must be shown; any will do.
    RequireAnyClientCert,
    /// One that is shown must be vouched for.
    VerifyClientCertIfGiven,
    /// One that is vouched for must be shown.
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    /// Whether a certificate that was let in says who the client is.
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyClientCertIfGiven | Self::RequireAndVerifyClientCert)
    }

    /// Whether a client without a certificate is kept out.
    pub fn requires(self) -> bool {
        matches!(self, Self::RequireAnyClientCert | Self::RequireAndVerifyClientCert)
    }
}

/// A cipher suite of TLS 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// ECDHE, ECDSA, AES-128-GCM.
    EcdsaAes128,
    /// ECDHE, ECDSA, AES-256-GCM.
    EcdsaAes256,
    /// ECDHE, ECDSA, ChaCha20-Poly1305.
    EcdsaChaCha20,
    /// ECDHE, RSA, AES-128-GCM.
    RsaAes128,
    /// ECDHE, RSA, AES-256-GCM.
    RsaAes256,
    /// ECDHE, RSA, ChaCha20-Poly1305.
    RsaChaCha20,
}

const SUITES: [(&str, Suite); 6] = [
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Suite::EcdsaAes128),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Suite::EcdsaAes256),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Suite::EcdsaChaCha20),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Suite::RsaAes128),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Suite::RsaAes256),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Suite::RsaChaCha20),
];

/// Go takes these and does nothing: TLS 1.3 always offers all of its suites.
const SUITES_OF_13: [&str; 3] = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

/// A group of the key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// Curve25519.
    X25519,
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
}

const CURVES: [(&str, Curve); 3] = [("X25519", Curve::X25519), ("CurveP256", Curve::P256), ("CurveP384", Curve::P384)];

/// Judges the section; an empty one means plain HTTP.
pub(super) fn settle(raw: &RawTls, dir: &Path) -> Result<Option<Tls>, Problem> {
    let cert = pem("cert", raw.cert.as_ref().map(inline), "cert_file", &raw.cert_file, dir)?;
    let key = pem("key", raw.key.as_ref().cloned(), "key_file", &raw.key_file, dir)?;
    let client_ca = pem("client_ca", raw.client_ca.as_ref().map(inline), "client_ca_file", &raw.client_ca_file, dir)?;
    let (cert, key) = match (cert, key) {
        (Some(cert), Some(key)) => (cert, key),
        (None, None) if is_empty(raw) => return Ok(None),
        (None, _) => return Err(missing("tls_server_config has no certificate: set cert_file, or cert")),
        (_, None) => return Err(missing("tls_server_config has no key for its certificate: set key_file, or key")),
    };
    let client_auth = client_auth(raw, client_ca.is_some())?;
    let (tls12, tls13) = versions(raw)?;
    let suites = raw.cipher_suites.as_ref().filter(|suites| !suites.is_empty()).map(|all| suites(all)).transpose()?;
    let tls12 = tls12 && suites.as_ref().is_none_or(|suites| !suites.is_empty());
    if !tls12 && !tls13 {
        return Err(missing("max_version is TLS12, and cipher_suites has none of TLS 1.2: nobody could come in"));
    }
    let curves = raw.curve_preferences.as_ref().filter(|curves| !curves.is_empty());
    Ok(Some(Tls {
        cert,
        key,
        client_auth,
        client_ca,
        client_allowed_sans: allowed_sans(raw, client_auth)?,
        tls12,
        tls13,
        suites,
        own_order: raw.prefer_server_cipher_suites.unwrap_or(true),
        curves: curves.map(|curves| curves.iter().map(curve).collect()).transpose()?,
    }))
}

/// Something that is not there stands nowhere.
fn missing(what: &str) -> Problem {
    Problem::new(Origin::Nowhere, what)
}

fn inline(text: &Spanned<String>) -> Spanned<Secret> {
    Spanned { value: Secret::new(text.value.clone()), referenced: text.referenced, defined: text.defined }
}

fn is_empty(raw: &RawTls) -> bool {
    raw.client_ca.is_none()
        && raw.client_ca_file.is_none()
        && raw.client_auth_type.is_none()
        && raw.client_allowed_sans.is_none()
        && raw.min_version.is_none()
        && raw.max_version.is_none()
        && raw.cipher_suites.is_none()
        && raw.curve_preferences.is_none()
}

/// What is either in the config or in a file; empty is as if it were not there.
fn pem(
    key: &str,
    inline: Option<Spanned<Secret>>,
    file_key: &str,
    file: &Option<Spanned<String>>,
    dir: &Path,
) -> Result<Option<Pem>, Problem> {
    let inline = inline.filter(|inline| !inline.value.reveal().is_empty());
    match (inline, file.as_ref().filter(|file| !file.value.is_empty())) {
        (Some(_), Some(file)) => Err(Problem::new(file, format!("{key} and {file_key} are both set: keep one"))),
        (Some(inline), None) => Ok(Some(Pem::Inline(inline.value))),
        (None, Some(file)) => Ok(Some(Pem::File(dir.join(&file.value)))),
        (None, None) => Ok(None),
    }
}

fn client_auth(raw: &RawTls, has_ca: bool) -> Result<ClientAuth, Problem> {
    let Some(given) = raw.client_auth_type.as_ref().filter(|given| !given.value.is_empty()) else {
        return match has_ca {
            true => Err(missing(
                "a client_ca is set and client_auth_type is not, so that no client would be asked for a certificate: \
                 set it to RequireAndVerifyClientCert, or remove the client_ca",
            )),
            false => Ok(ClientAuth::NoClientCert),
        };
    };
    let auth = match given.value.as_str() {
        "NoClientCert" => ClientAuth::NoClientCert,
        "RequestClientCert" => ClientAuth::RequestClientCert,
        // The old name is still good.
        "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAnyClientCert,
        "VerifyClientCertIfGiven" => ClientAuth::VerifyClientCertIfGiven,
        "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerifyClientCert,
        _ => {
            let what = "client_auth_type is none that there is: use NoClientCert, RequestClientCert, RequireAnyClientCert, \
                        VerifyClientCertIfGiven or RequireAndVerifyClientCert";
            return Err(Problem::new(given, what));
        }
    };
    if auth.verifies() && !has_ca {
        return Err(Problem::new(
            given,
            format!("client_auth_type {} needs client_ca_file: who vouches for clients?", given.value),
        ));
    }
    if auth == ClientAuth::NoClientCert && has_ca {
        let what = "client_auth_type is NoClientCert and a client_ca is set: use RequireAndVerifyClientCert, or remove the client_ca";
        return Err(Problem::new(given, what));
    }
    Ok(auth)
}

fn allowed_sans(raw: &RawTls, auth: ClientAuth) -> Result<Vec<String>, Problem> {
    let Some(sans) = &raw.client_allowed_sans else { return Ok(Vec::new()) };
    if sans.value.is_empty() {
        return Err(Problem::new(
            sans,
            "client_allowed_sans is empty, and nobody could come in: name somebody, or remove it",
        ));
    }
    if !auth.requires() {
        let what = "client_allowed_sans needs client_auth_type RequireAndVerifyClientCert or RequireAnyClientCert: \
                    the others let a client in without a certificate";
        return Err(Problem::new(sans, what));
    }
    Ok(sans.value.clone())
}

/// Whether TLS 1.2 and 1.3 are spoken.
fn versions(raw: &RawTls) -> Result<(bool, bool), Problem> {
    let version = |key: &str, given: &Option<Spanned<String>>, default: u8| match given {
        None => Ok(default),
        Some(given) => match given.value.as_str() {
            "TLS12" => Ok(12),
            "TLS13" => Ok(13),
            "TLS10" | "TLS11" => {
                Err(Problem::new(given, format!("{key} {} is too old to be safe: use TLS12 or TLS13", given.value)))
            }
            _ => Err(Problem::new(given, format!("{key} is no version of TLS: use TLS12 or TLS13"))),
        },
    };
    let least = version("min_version", &raw.min_version, 12)?;
    let most = version("max_version", &raw.max_version, 13)?;
    match (least, most, &raw.max_version) {
        (13, 12, Some(given)) => Err(Problem::new(given, "max_version is older than min_version")),
        _ => Ok((least == 12, most == 13)),
    }
}

fn suites(given: &[Spanned<String>]) -> Result<Vec<Suite>, Problem> {
    let mut suites = Vec::new();
    for name in given {
        match SUITES.iter().find(|(known, _)| *known == name.value) {
            Some((_, suite)) => suites.push(*suite),
            None if SUITES_OF_13.contains(&name.value.as_str()) => {}
            None => {
                let known = SUITES.map(|(name, _)| name).join(", ");
                return Err(Problem::new(
                    name,
                    format!("this cipher suite is not spoken here; those of TLS 1.2 are {known}"),
                ));
            }
        }
    }
    Ok(suites)
}

fn curve(given: &Spanned<String>) -> Result<Curve, Problem> {
    let known = CURVES.iter().find(|(name, _)| *name == given.value);
    known
        .map(|(_, curve)| *curve)
        .ok_or_else(|| Problem::new(given, "this curve is not spoken here: use X25519, CurveP256 or CurveP384"))
}
