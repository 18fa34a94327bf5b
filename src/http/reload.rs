//! `POST /-/reload`: another config is taken in as on SIGHUP, for whoever may ask for it. The answer is how that went.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use futures_util::future::BoxFuture;

use super::access::{Caller, guarded};
use crate::config::Role;

/// Takes in the config as it is written now, because whoever has this name asked for it. The error is a sentence for people.
pub type Reload = Arc<dyn Fn(Arc<str>) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// The route.
pub(super) fn route<S>(reload: Reload) -> MethodRouter<S> {
    guarded(Role::Admin, post(now)).with_state(reload)
}

async fn now(State(reload): State<Reload>, Extension(caller): Extension<Caller>) -> Response {
    match reload(caller.name).await {
        Ok(()) => "The config was read again and is in force.\n".into_response(),
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")).into_response(),
    }
}
