//! What a handshake that failed is called, whichever library speaks TLS.

pub(super) const EXPIRED: &str = "the server's certificate has expired, or this machine's clock is wrong";
pub(super) const NOT_YET: &str = "the server's certificate is not valid yet, or this machine's clock is wrong";
pub(super) const NOBODY_VOUCHES: &str = "no certificate in sslrootcert vouches for the server's certificate";
pub(super) const BAD_SIGNATURE: &str = "the server's certificate is not signed by the key of the issuer that it names";
pub(super) const NOT_FOR_SERVERS: &str = "the server's certificate is not meant for servers (extendedKeyUsage)";
pub(super) const SIGNS_ITSELF: &str =
    "the server's certificate is an authority's own: if it signs itself, name it in sslrootcert, else issue another";

/// A certificate for `presented`, from a server that is called `host`.
pub(super) fn other_host(presented: &[String], host: &str) -> String {
    match presented {
        [] => format!(
            "the server's certificate names no host: issue it with subjectAltName {host}, or use sslmode=verify-ca"
        ),
        names => format!("the server's certificate is for {}, not for {host}", names.join(", ")),
    }
}
