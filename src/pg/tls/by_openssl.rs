//! The OpenSSL of the system, as libpq has it: for certificates and keys that rustls does not take.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslOptions, SslVerifyMode, SslVersion};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509Ref, X509StoreContextRef, X509VerifyResult};
use postgres_openssl::{TlsConnector, TlsStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::{Checked, SslMode, Tls, TlsError, Versions, bad_key, certificates, name, not_its_key, private_key, words};
use crate::pg::trail::Trail;

/// How TLS is spoken to one server, with everything that the files say.
#[derive(Clone)]
pub struct Connector {
    ssl: SslConnector,
    checks_chain: bool,
    checks_name: bool,
    names_host: bool,
}

/// The next session with it.
pub struct Handshake {
    inner: TlsConnector,
    /// What is wrong with the server's certificate, once that is known.
    verdict: Arc<OnceLock<String>>,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl Tls {
    /// Makes what a session needs. Reads the files, which leave a `trail`.
    pub fn connector(&self, trail: &Trail) -> Result<Connector, TlsError> {
        let mut builder = SslConnector::builder(SslMethod::tls()).map_err(setup)?;
        // A server that dies says no farewell, and PostgreSQL's messages tell where they end.
        builder.set_options(SslOptions::IGNORE_UNEXPECTED_EOF);
        let (least, most) = match self.versions {
            Versions::Both => (SslVersion::TLS1_2, None),
            Versions::Only12 => (SslVersion::TLS1_2, Some(SslVersion::TLS1_2)),
            Versions::Only13 => (SslVersion::TLS1_3, None),
        };
        builder.set_min_proto_version(Some(least)).map_err(setup)?;
        builder.set_max_proto_version(most).map_err(setup)?;
        let (named, checks_chain, checks_name) = match self.checked(trail)? {
            Checked::Nothing => (Vec::new(), false, false),
            Checked::Chain(named) => (named, true, false),
            Checked::ChainAndName(named) => (named, true, true),
        };
        // In place of the system's authorities, which the builder starts with.
        let mut store = X509StoreBuilder::new().map_err(setup)?;
        // What cannot be read vouches for nobody.
        for certificate in named.iter().filter_map(|der| X509::from_der(der).ok()) {
            store.add_cert(certificate).map_err(setup)?;
        }
        builder.set_cert_store(store.build());
        self.identify(&mut builder, trail)?;
        Ok(Connector { ssl: builder.build(), checks_chain, checks_name, names_host: self.names_host })
    }

    fn identify(&self, builder: &mut SslConnectorBuilder, trail: &Trail) -> Result<(), TlsError> {
        let Some((cert, path)) = self.identity.as_ref().filter(|_| self.mode != SslMode::Disable) else {
            return Ok(());
        };
        let chain = certificates("sslcert", cert, trail)?;
        // Without the callback OpenSSL would ask the terminal.
        let key = PKey::private_key_from_pem_callback(&private_key(path, trail)?, |_| Ok(0))
            .map_err(|error| bad_key(path, format!("no private key without a passphrase in it: {error}")))?;
        let mismatch = |error: ErrorStack| not_its_key(cert, &error);
        for (number, der) in chain.iter().enumerate() {
            let certificate = X509::from_der(der).map_err(mismatch)?;
            match number {
                0 => builder.set_certificate(&certificate).map_err(mismatch)?,
                _ => builder.add_extra_chain_cert(certificate).map_err(mismatch)?,
            }
        }
        builder.set_private_key(&key).map_err(mismatch)?;
        builder.check_private_key().map_err(mismatch)
    }
}

fn setup(error: ErrorStack) -> TlsError {
    TlsError::Setup(error.to_string())
}

impl<S> MakeTlsConnect<S> for Connector
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = TlsStream<S>;
    type TlsConnect = Handshake;
    type Error = ErrorStack;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, ErrorStack> {
        let mut ssl = self.ssl.configure()?;
        ssl.set_verify_hostname(false);
        ssl.set_use_server_name_indication(self.names_host);
        let verdict = Arc::new(OnceLock::new());
        if self.checks_chain {
            let (verdict, host) = (verdict.clone(), self.checks_name.then(|| host.to_owned()));
            ssl.set_verify_callback(SslVerifyMode::PEER, move |is_good, context| {
                match judge(is_good, context, host.as_deref()) {
                    Ok(()) => true,
                    Err(why) => {
                        context.set_error(X509VerifyResult::APPLICATION_VERIFICATION);
                        let _ = verdict.set(why);
                        false
                    }
                }
            });
        } else {
            ssl.set_verify(SslVerifyMode::NONE);
        }
        Ok(Handshake { inner: TlsConnector::new(ssl, host), verdict })
    }
}

impl<S> TlsConnect<S> for Handshake
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = TlsStream<S>;
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<TlsStream<S>, Refused>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let connecting = TlsConnect::<S>::connect(self.inner, stream).await;
            connecting
                .map_err(|error| Refused(self.verdict.get().cloned().unwrap_or_else(|| failed(&error.to_string()))))
        })
    }
}

/// What is wrong with a certificate of the server's chain, if anything is: OpenSSL asks for each, the server's own last.
fn judge(is_good: bool, context: &X509StoreContextRef, host: Option<&str>) -> Result<(), String> {
    if !is_good {
        return Err(said(context.error()));
    }
    match (context.error_depth(), context.current_cert(), host) {
        (0, Some(certificate), Some(host)) => names(certificate, host),
        (0, None, Some(_)) => Err("the server showed no certificate".to_owned()),
        _ => Ok(()),
    }
}

fn names(certificate: &X509Ref, host: &str) -> Result<(), String> {
    let der = certificate.to_der().map_err(|error| error.to_string())?;
    let read =
        Certificate::from_der(&der).map_err(|error| format!("the server's certificate cannot be read: {error}"))?;
    name::check(&read, host).map_err(|name::Unnamed(presented)| words::other_host(&presented, host))
}

/// The numbers are those of OpenSSL's x509_vfy.h, `X509_V_ERR_…`, which are part of its interface.
fn said(result: X509VerifyResult) -> String {
    match result.as_raw() {
        2 | 20 | 21 | 19 => words::NOBODY_VOUCHES.to_owned(),
        7 => words::BAD_SIGNATURE.to_owned(),
        9 => words::NOT_YET.to_owned(),
        10 => words::EXPIRED.to_owned(),
        18 => words::SIGNS_ITSELF.to_owned(),
        26 => words::NOT_FOR_SERVERS.to_owned(),
        _ => format!("the server's certificate is not acceptable: {}", result.error_string()),
    }
}

fn failed(why: &str) -> String {
    match why {
        why if why.contains("wrong version number") => "what answers does not speak TLS".to_owned(),
        why if why.contains("unsupported protocol") || why.contains("alert protocol version") => {
            "the server offers no TLS 1.2 or 1.3 that we share".to_owned()
        }
        why => why.to_owned(),
    }
}

/// What went wrong in a TLS handshake, in plain words; `None` if `error` has nothing to do with TLS.
pub fn explain(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut error = Some(error);
    while let Some(current) = error {
        if let Some(Refused(why)) = current.downcast_ref() {
            return Some(why.clone());
        }
        error = current.source();
    }
    None
}
