//! The layer that every request passes: how many are answered, who sent this one, and whether it goes on to its route. `guarded` makes
//! the routes that change something.

mod decision;
mod passwords;
mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::door::Door;
use super::handshake::Peer;
use super::rules::Rules;
use crate::clock::Mono;
use crate::config::Role;
use decision::{Ask, Shown, Verdict, Why, decide, enough, is_cross_site};
use passwords::Checked;
pub(super) use passwords::Passwords;
pub(super) use tokens::{Hasher, Tokens};

/// Who sent a request that goes on to its route, as far as that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name in `access`, or of the user.
    pub name: Arc<str>,
    /// What they may do.
    pub role: Role,
}

/// A route that changes something, for those whose role is enough. The handler finds the [`Caller`] in an extension.
pub fn guarded<S: Clone + Send + Sync + 'static>(needed: Role, route: MethodRouter<S>) -> MethodRouter<S> {
    route.route_layer(from_fn_with_state(needed, guard))
}

async fn guard(State(needed): State<Role>, request: Request, next: Next) -> Response {
    let role = request.extensions().get::<Caller>().map(|caller| caller.role);
    match enough(role, needed) {
        Verdict::Allow => next.run(request).await,
        Verdict::Unauthorized | Verdict::Forbidden(_) => refusal(Why::Role),
    }
}

/// Lets a request through to its route, or says why not.
pub(super) async fn admit(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let rules = door.rules();
    let mut response = match rules.web.rate.and_then(|rate| door.wait_of(rate, Mono::now())) {
        Some(wait) => {
            let after = [(RETRY_AFTER, wait.as_secs().saturating_add(1).to_string())];
            (StatusCode::TOO_MANY_REQUESTS, after, "More requests than rate_limit allows; come again later.\n")
                .into_response()
        }
        None => admitted(&door, &rules, request, next).await,
    };
    for (name, value) in &rules.headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

async fn admitted(door: &Door, rules: &Rules, mut request: Request, next: Next) -> Response {
    let ask = ask(request.method(), request.headers(), request.uri().authority().map(|host| host.as_str()));
    if ask == Ask::Look && rules.open {
        // Whoever says who he is may look where others may not.
        let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
        if let Who::Somebody(caller) = who(door, rules, request.headers(), &peer).await {
            request.extensions_mut().insert(caller);
        }
        request.headers_mut().remove(AUTHORIZATION);
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
    let caller = match who(door, rules, request.headers(), &peer).await {
        Who::Busy => {
            let after = [(RETRY_AFTER, "1")];
            return (StatusCode::SERVICE_UNAVAILABLE, after, "Too many passwords wait to be checked.\n")
                .into_response();
        }
        Who::Nobody(shown) => Err(shown),
        Who::Somebody(caller) => Ok(caller),
    };
    let shown = caller.as_ref().map_or_else(|shown| *shown, |caller| Shown::Known(caller.role));
    let verdict = decide(ask, shown, rules.open);
    // To come without a credential at first is how browsers look.
    if verdict != Verdict::Allow && (ask, shown) != (Ask::Look, Shown::Nothing) {
        let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|from| from.0.ip());
        door.tell_refusal(from, caller.as_ref().ok().map(|caller| &*caller.name), ask == Ask::Look);
    }
    match verdict {
        Verdict::Allow => {
            // Nobody further in needs it, and so nobody can show it.
            request.headers_mut().remove(AUTHORIZATION);
            if let Ok(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Verdict::Unauthorized => challenge(rules),
        Verdict::Forbidden(why) => refusal(why),
    }
}

fn ask(method: &Method, headers: &HeaderMap, authority: Option<&str>) -> Ask {
    if method.is_safe() {
        return Ask::Look;
    }
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    // HTTP/2 names the host in the request's line.
    let host = text(HOST).or(authority);
    Ask::Change {
        cross_site: is_cross_site(
            headers.get("sec-fetch-site").map(|value| value.to_str().unwrap_or_default()),
            text(ORIGIN),
            host,
        ),
    }
}

enum Who {
    Somebody(Caller),
    Nobody(Shown),
    Busy,
}

/// Who sent this: by a bearer token, else by a password, else by the certificate of the connection.
async fn who(door: &Door, rules: &Rules, headers: &HeaderMap, peer: &Peer) -> Who {
    let somebody = |caller: &Caller| Who::Somebody(caller.clone());
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let Some(credential) = given.next() else {
        let by_name = rules.by_san.iter().filter(|(san, _)| peer.names().contains(san)).map(|(_, caller)| caller);
        return by_name.max_by_key(|caller| caller.role).map_or(Who::Nobody(Shown::Nothing), somebody);
    };
    let (scheme, credential) = credential.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
    let credential = credential.trim();
    let wrong = Who::Nobody(Shown::Wrong);
    if given.next().is_some() {
        return wrong;
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        return rules.tokens.owner(credential).map_or(wrong, somebody);
    }
    if !scheme.eq_ignore_ascii_case("basic") || rules.web.users.is_empty() {
        return wrong;
    }
    let pair = BASE64_STANDARD.decode(credential).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((user, password)) = pair.as_deref().and_then(|pair| pair.split_once(':')) else { return wrong };
    match door.passwords().check(&rules.web, user, password).await {
        Checked::Right => Who::Somebody(rules.caller_of_user(user)),
        Checked::Wrong => wrong,
        Checked::Busy => Who::Busy,
    }
}

fn challenge(rules: &Rules) -> Response {
    let mut response = (StatusCode::UNAUTHORIZED, "This needs a credential.\n").into_response();
    if !rules.web.users.is_empty() {
        let basic = HeaderValue::from_static("Basic realm=\"pgvigil\", charset=\"UTF-8\"");
        response.headers_mut().append(WWW_AUTHENTICATE, basic);
    }
    if !rules.tokens.is_empty() || rules.web.users.is_empty() {
        response.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"pgvigil\""));
    }
    response
}

fn refusal(why: Why) -> Response {
    (StatusCode::FORBIDDEN, format!("{}\n", why.sentence())).into_response()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(in crate::http) use tests::House;
