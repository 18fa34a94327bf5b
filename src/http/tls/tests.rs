use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection, SupportedProtocolVersion};

use super::*;
use crate::config::web::ClientAuth;

fn fixture(name: &str) -> Pem {
    Pem::File(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name))
}

fn tls() -> Tls {
    Tls {
        cert: fixture("named.crt"),
        key: fixture("server.key"),
        client_auth: ClientAuth::NoClientCert,
        client_ca: None,
        client_allowed_sans: Vec::new(),
        tls12: true,
        tls13: true,
        suites: None,
        own_order: true,
        curves: None,
    }
}

/// What a client that offers this comes to speak: version, suite and group, by name; empty if nothing.
fn shake_hands(
    tls: &Tls,
    versions: &[&'static SupportedProtocolVersion],
    suites: &[SupportedCipherSuite],
    curves: &[Curve],
) -> String {
    let server = server_config(tls, false, &mut Seen::default()).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let mut provider = default_provider();
    if !suites.is_empty() {
        provider.cipher_suites = suites.to_vec();
    }
    if !curves.is_empty() {
        provider.kx_groups = curves.iter().map(|curve| kx_group(*curve)).collect();
    }
    let mut roots = RootCertStore::empty();
    roots.add(certificates("ca", &fixture("ca.crt"), &mut Seen::default()).unwrap().remove(0)).unwrap();
    let client = ClientConfig::builder_with_provider(provider.into()).with_protocol_versions(versions).unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(client), ServerName::try_from("db.example").unwrap()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        if server.process_new_packets().is_err() {
            return String::new();
        }
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets().unwrap();
    }
    let group = client.negotiated_key_exchange_group().unwrap().name();
    format!(
        "{:?} {:?} {group:?}",
        client.protocol_version().unwrap(),
        client.negotiated_cipher_suite().unwrap().suite()
    )
}

#[test]
fn what_is_set_is_what_is_spoken() {
    let all = &[&TLS12, &TLS13][..];
    let (aes, chacha) =
        (suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    let two = Some(vec![Suite::EcdsaChaCha20, Suite::EcdsaAes128]);
    for (set, versions, suites, curves, spoken) in [
        (tls(), all, &[][..], &[][..], "TLSv1_3 TLS13_AES_256_GCM_SHA384 X25519"),
        (tls(), &[&TLS12], &[], &[], "TLSv1_2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 X25519"),
        (Tls { tls12: false, ..tls() }, &[&TLS12], &[], &[], ""),
        (Tls { tls13: false, ..tls() }, &[&TLS13], &[], &[], ""),
        (Tls { tls13: false, ..tls() }, all, &[], &[], "TLSv1_2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 X25519"),
        // Our order, or the client's.
        (
            Tls { suites: two.clone(), ..tls() },
            &[&TLS12],
            &[aes, chacha],
            &[],
            "TLSv1_2 TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 X25519",
        ),
        (
            Tls { suites: two, own_order: false, ..tls() },
            &[&TLS12],
            &[aes, chacha],
            &[],
            "TLSv1_2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 X25519",
        ),
        (Tls { suites: Some(vec![Suite::EcdsaAes256]), ..tls() }, &[&TLS12], &[aes], &[], ""),
        // The suites are those of TLS 1.2 alone.
        (
            Tls { suites: Some(vec![Suite::EcdsaAes256]), ..tls() },
            all,
            &[],
            &[],
            "TLSv1_3 TLS13_AES_256_GCM_SHA384 X25519",
        ),
        (
            Tls { curves: Some(vec![Curve::P384]), ..tls() },
            all,
            &[],
            &[Curve::X25519, Curve::P384],
            "TLSv1_3 TLS13_AES_256_GCM_SHA384 secp384r1",
        ),
        (Tls { curves: Some(vec![Curve::P256]), ..tls() }, all, &[], &[Curve::X25519], ""),
    ] {
        assert_eq!(shake_hands(&set, versions, suites, curves), spoken, "{set:?}");
    }
}
