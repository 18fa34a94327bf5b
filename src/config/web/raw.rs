//! A web config as it is written: every key there is, each with the place where it stands.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::config::Secret;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawWeb {
    /// TLS.
    pub tls_server_config: Option<RawTls>,
    /// HTTP/2 and headers.
    pub http_server_config: Option<RawHttp>,
    /// Bcrypt hashes of passwords by user name.
    pub basic_auth_users: Option<BTreeMap<String, Spanned<Secret>>>,
    /// How many requests are answered.
    pub rate_limit: Option<RawRate>,
}

/// TLS.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTls {
    /// The certificate with its chain, PEM.
    pub cert: Option<Spanned<String>>,
    /// The file that holds it.
    pub cert_file: Option<Spanned<String>>,
    /// The certificate's key, PEM.
    pub key: Option<Spanned<Secret>>,
    /// The file that holds it.
    pub key_file: Option<Spanned<String>>,
    /// Who vouches for clients, PEM.
    pub client_ca: Option<Spanned<String>>,
    /// The file that says it.
    pub client_ca_file: Option<Spanned<String>>,
    /// Whether clients show certificates, in Go's words.
    pub client_auth_type: Option<Spanned<String>>,
    /// One of these names must be in a client's certificate.
    pub client_allowed_sans: Option<Spanned<Vec<String>>>,
    /// The oldest version.
    pub min_version: Option<Spanned<String>>,
    /// The newest version.
    pub max_version: Option<Spanned<String>>,
    /// For TLS 1.2, in Go's words.
    pub cipher_suites: Option<Vec<Spanned<String>>>,
    /// Whether our order of cipher suites counts, and not the client's.
    pub prefer_server_cipher_suites: Option<bool>,
    /// For the key exchange, in Go's words.
    pub curve_preferences: Option<Vec<Spanned<String>>>,
}

/// HTTP/2 and headers.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawHttp {
    /// Whether HTTP/2 is offered.
    pub http2: Option<bool>,
    /// What stands in the head of every answer.
    pub headers: Option<RawHeaders>,
}

/// The headers that may be set.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawHeaders {
    /// What a page may load.
    #[serde(rename = "Content-Security-Policy")]
    pub content_security_policy: Option<Spanned<String>>,
    /// Who may show a page in a frame.
    #[serde(rename = "X-Frame-Options")]
    pub frame_options: Option<Spanned<String>>,
    /// Whether a browser may guess types.
    #[serde(rename = "X-Content-Type-Options")]
    pub content_type_options: Option<Spanned<String>>,
    /// For old browsers.
    #[serde(rename = "X-XSS-Protection")]
    pub xss_protection: Option<Spanned<String>>,
    /// Whether a browser insists on TLS later.
    #[serde(rename = "Strict-Transport-Security")]
    pub strict_transport_security: Option<Spanned<String>>,
}

/// How many requests are answered.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRate {
    /// In which one more request is allowed; 0: no limit.
    pub interval: Option<Spanned<String>>,
    /// How many may come at once.
    pub burst: Option<Spanned<u32>>,
}
