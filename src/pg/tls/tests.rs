use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConnection, ServerConfig, ServerConnection};

use super::*;

const KEY: &[u8] = include_bytes!("../../../tests/fixtures/tls/server.key");

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

fn tls(mode: SslMode, root: Option<&str>) -> Tls {
    Tls { mode, roots: root.map_or(Roots::Nobody, |root| Roots::File(fixture(root))), ..Tls::default() }
}

/// A handshake in memory with a server that shows `certificate`; what a person would read if it fails.
fn shake_hands(tls: &Tls, certificate: &str, host: &str) -> Result<(), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            certificates("test", &fixture(certificate), &Trail::default()).unwrap(),
            PrivateKeyDer::from_pem_slice(KEY).unwrap(),
        );
    let server = server.unwrap_or_else(|_| server_of_version_one(certificate));
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let config = Arc::new(tls.client_config(&Trail::default()).map_err(|error| error.to_string())?);
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = ClientConnection::new(config, name).unwrap();
    while client.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets().map_err(|error| error.to_string())?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets().map_err(|error| explain(&error).unwrap())?;
    }
    Ok(())
}

/// rustls does not check a certificate that it is handed this way, so it serves even what it could not read.
fn server_of_version_one(certificate: &str) -> ServerConfig {
    let provider = rustls::crypto::ring::default_provider();
    let key = provider.key_provider.load_private_key(PrivateKeyDer::from_pem_slice(KEY).unwrap()).unwrap();
    let certified =
        rustls::sign::CertifiedKey::new(certificates("test", &fixture(certificate), &Trail::default()).unwrap(), key);
    ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)))
}

#[test]
fn each_mode_checks_what_libpq_checks() {
    use SslMode::{Prefer, Require, VerifyCa, VerifyFull};
    let ca = Some("ca.crt");
    let issuer = "no certificate in sslrootcert vouches for the server's certificate";
    let named = "the server's certificate is for db.example, ";
    let other = "the server's certificate is for db.example, 127.0.0.1, not for other.example";
    let expired = "the server's certificate has expired, or this machine's clock is wrong";
    let own = "the server's certificate is an authority's own: if it signs itself, name it in sslrootcert, else issue another";
    for (mode, root, certificate, host, expected) in [
        (Require, None, "named.crt", "other.example", None),
        (Prefer, None, "named.crt", "other.example", None),
        (Require, None, "expired.crt", "db.example", None),
        (Require, None, "self-signed.crt", "db.example", None),
        (Require, None, "version-one.crt", "db.example", None),
        (Require, Some("other-ca.crt"), "named.crt", "db.example", Some(issuer)),
        (Require, ca, "named.crt", "other.example", None),
        (VerifyCa, ca, "named.crt", "other.example", None),
        (VerifyCa, ca, "common-name.crt", "db.example", None),
        (VerifyCa, ca, "expired.crt", "db.example", Some(expired)),
        (VerifyCa, ca, "version-one.crt", "other.example", None),
        (VerifyCa, Some("other-ca.crt"), "version-one.crt", "db.example", Some(issuer)),
        (VerifyCa, Some("other-ca.crt"), "named.crt", "db.example", Some(issuer)),
        (VerifyCa, Some("self-signed.crt"), "self-signed.crt", "db.example", None),
        (VerifyCa, Some("version-one.crt"), "version-one.crt", "db.example", None),
        (VerifyFull, ca, "named.crt", "db.example", None),
        (VerifyFull, ca, "named.crt", "127.0.0.1", None),
        (VerifyFull, ca, "named.crt", "other.example", Some(other)),
        (VerifyFull, ca, "named.crt", "127.0.0.2", Some(named)),
        (VerifyFull, ca, "common-name.crt", "db.example", None),
        (
            VerifyFull,
            ca,
            "common-name.crt",
            "other.example",
            Some("the server's certificate is for db.example, not for other.example"),
        ),
        (VerifyFull, ca, "version-one.crt", "db.example", None),
        (VerifyFull, ca, "version-one.crt", "other.example", Some("the server's certificate is for db.example, not")),
        (VerifyFull, ca, "self-signed.crt", "db.example", Some(own)),
        (VerifyFull, Some("self-signed.crt"), "self-signed.crt", "db.example", None),
        (VerifyFull, Some("self-signed.crt"), "self-signed.crt", "other.example", Some(named.trim_end_matches(", "))),
        (VerifyFull, Some("version-one.crt"), "version-one.crt", "db.example", None),
    ] {
        let got = shake_hands(&tls(mode, root), certificate, host);
        let case = format!("{mode:?} {root:?} {certificate} {host}: {got:?}");
        match expected {
            None => assert_eq!(got, Ok(()), "{case}"),
            Some(words) => assert!(got.as_ref().is_err_and(|got| got.starts_with(words)), "{case}"),
        }
    }
}

#[test]
fn a_version_can_be_asked_for_and_the_old_certificate_is_checked_in_each() {
    for versions in [Versions::Only12, Versions::Only13] {
        for (root, fits) in [("ca.crt", true), ("other-ca.crt", false)] {
            let tls = Tls { versions, ..tls(SslMode::VerifyFull, Some(root)) };
            let got = shake_hands(&tls, "version-one.crt", "db.example");
            assert_eq!(got.is_ok(), fits, "{versions:?} {root} {got:?}");
        }
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let error = |tls: Tls| tls.connector(&Trail::default()).err().map(|error| error.to_string()).unwrap_or_default();
    let missing = error(tls(SslMode::VerifyCa, Some("missing.crt")));
    assert!(
        missing.starts_with("sslrootcert ") && missing.ends_with("No such file or directory (os error 2)"),
        "{missing}"
    );
    let empty = error(tls(SslMode::VerifyFull, Some("make.sh")));
    assert!(empty.ends_with("make.sh: there is no certificate in it (PEM is needed)"), "{empty}");
    assert_eq!(
        error(tls(SslMode::VerifyCa, None)),
        "TLS cannot be set up: no root certificate: name its file in sslrootcert"
    );
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let dir = std::env::temp_dir().join(format!("pgvigil-key-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let key = dir.join("client.key");
    std::fs::write(&key, KEY).unwrap();
    let identity = Some((fixture("client.crt"), key.clone()));
    let with_key = Tls { mode: SslMode::Require, identity, ..Tls::default() };
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = with_key.connector(&Trail::default()).err().map(|error| error.to_string()).unwrap_or_default();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let closed = with_key.connector(&Trail::default()).map(drop);
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(open.ends_with("client.key: others may access it; chmod it to 0600, or 0640 if root owns it"), "{open}");
    closed.unwrap();
}
