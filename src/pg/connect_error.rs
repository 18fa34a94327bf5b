//! From an error of `tokio_postgres` to what it says about the node.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};

use tokio_postgres::error::{DbError, Severity};

use super::failure::{Answer, Cause, Failure, classify_io, classify_server_error};
use super::tls;

/// What an error of a session or an attempt to open one means. `previous` is the failure just before it, `None` if the server could
/// be read in between.
pub fn failure_of(error: &tokio_postgres::Error, previous: Option<&Failure>) -> Failure {
    if let Some(answer) = error.as_db_error() {
        return failure_of_answer(answer, previous);
    }
    let source = error.source();
    if is_tls(error) {
        let detail = source.and_then(|source| tls::explain(source).or_else(|| Some(source.to_string())));
        return Failure::new(Cause::Tls, &detail.unwrap_or_default());
    }
    let io = source.and_then(|source| source.downcast_ref::<io::Error>());
    let detail = source.map(ToString::to_string).unwrap_or_default();
    // The kind of an error is private; its text is the only public trace of it.
    match (error.to_string().as_str(), io) {
        // Only the resolver fails without an errno while connecting, unless our own deadline was hit.
        ("error connecting to server", Some(io)) if io.raw_os_error().is_none() && io.kind() != ErrorKind::TimedOut => {
            Failure::new(Cause::Dns, &detail).after(previous)
        }
        ("error parsing response from server" | "unexpected message from server", _) => {
            Failure::new(Cause::NotPostgres, &detail).after(previous)
        }
        ("timeout waiting for server", _) => Failure::new(Cause::Timeout, "").after(previous),
        ("connection closed", _) => Failure::new(Cause::Closed, "").after(previous),
        ("invalid configuration", _) if detail == "password missing" => Failure::new(Cause::Password, "none is set"),
        ("authentication error" | "invalid configuration", _) => {
            Failure::new(Cause::Auth, login_refused_by_us(&detail))
        }
        // What was read breaks the framing of messages.
        (_, Some(io))
            if matches!(io.kind(), ErrorKind::Other | ErrorKind::InvalidData | ErrorKind::InvalidInput)
                && io.raw_os_error().is_none() =>
        {
            Failure::new(Cause::NotPostgres, &detail).after(previous)
        }
        (_, Some(io)) => classify_io(io.kind(), io.raw_os_error(), previous),
        (text, None) => Failure::new(Cause::Other, text),
    }
}

/// Why we ended the login ourselves, and what to do.
fn login_refused_by_us(why: &str) -> &str {
    match why {
        "server did not use channel binding" => {
            "channel_binding=require, and the server did not bind: that takes TLS and a password kept for SCRAM"
        }
        "SCRAM iteration count exceeds the maximum allowed" => {
            "the server keeps the password with more than 100,000 iterations, and a client takes no more: set it again with a lower scram_iterations"
        }
        "unsupported authentication method" | "unsupported SASL mechanism" => {
            "pg_hba.conf asks for a login that pgvigil does not speak: let its role in by scram-sha-256 or cert"
        }
        other => other,
    }
}

/// What a server's own error, or the notice before it cuts a session, means.
pub fn failure_of_answer(answer: &DbError, previous: Option<&Failure>) -> Failure {
    let severity = match answer.parsed_severity() {
        Some(Severity::Panic | Severity::Fatal) => "FATAL",
        Some(Severity::Error) => "ERROR",
        Some(Severity::Warning) => "WARNING",
        Some(_) => "NOTICE",
        // Poolers and servers before 9.6 do not send the field that no locale changes.
        None => answer.severity(),
    };
    let answer = Answer {
        severity,
        sqlstate: answer.code().code(),
        message: answer.message(),
        detail: answer.detail(),
        routine: answer.routine(),
    };
    let mut failure = classify_server_error(&answer, previous);
    // PgBouncer's words; it has no translations.
    if answer.message.starts_with("unsupported startup parameter") {
        failure.message += "; if it is PgBouncer with pool_mode = transaction, give the node pooled: true";
    }
    failure
}

/// Whether a TLS session could not be made.
pub(super) fn is_tls(error: &tokio_postgres::Error) -> bool {
    error.to_string() == "error performing TLS handshake"
}
