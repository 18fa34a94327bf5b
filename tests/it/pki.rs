//! Throw-away authorities, the certificates that they issue, and a client of TLS that shows and trusts what it is told to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const WITHIN: Duration = Duration::from_secs(15);

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Issued {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Not the name of what it issues: OpenSSL takes that for one that signs itself.
        params.distinguished_name.push(DnType::CommonName, "authority of the tests");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// For servers and clients, with these names: hosts, addresses, `mailto:…` and other URIs.
    pub fn issue(&self, names: &[&str]) -> Issued {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.subject_alt_names = names
            .iter()
            .map(|name| match (name.parse::<IpAddr>(), name.strip_prefix("mailto:")) {
                (Ok(address), _) => SanType::IpAddress(address),
                (_, Some(mail)) => SanType::Rfc822Name(mail.try_into().unwrap()),
                _ if name.contains("://") => SanType::URI((*name).try_into().unwrap()),
                _ => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        Issued { cert: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }

    /// A client that trusts this authority, offers these protocols, and shows a certificate if it has one.
    pub fn client(&self, protocols: &[&str], shown: Option<&Issued>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some(shown) => {
                let chain = vec![CertificateDer::from_pem_slice(shown.cert.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// A connection over TLS.
pub async fn secure(port: u16, client: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let shake = async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        TlsConnector::from(client.clone()).connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await
    };
    timeout(WITHIN, shake).await.expect("a handshake in time")
}
