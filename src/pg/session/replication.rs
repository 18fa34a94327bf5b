//! A login by the replication protocol, and nothing more: it tries at once the line of `pg_hba.conf`, the role, its password and
//! whether there is a walsender left, and ends. In `pg_stat_replication` it stands for that moment, under our own name.

use std::time::Duration;

use super::link::Link;
use crate::doctor::login::Login;
use crate::pg::dsn::Target;
use crate::pg::tls::Connector;

/// Logs in and out again, each within `deadline`. `target` is one of [`Target::for_replication`].
pub async fn try_login(target: &Target, tls: &Connector, deadline: Duration) -> Login {
    let user = target.config.get_user().unwrap_or_default().to_owned();
    // No options: a walreceiver sends none.
    match Link::dial_telling(target, tls, deadline, "").await {
        Ok(link) => {
            let from = link.from;
            link.close(deadline).await;
            Login { user, from, result: Ok(()) }
        }
        Err((failure, from)) => Login { user, from, result: Err(failure) },
    }
}
