//! What the doctor alone asks of a node, over a session that is at hand.

use crate::doctor::chart::{self, CHART, MANAGER, ROLES, Told};
use crate::doctor::hba::{self, HBA};
use crate::pg::failure::Failure;
use crate::pg::session::Session;
use crate::runbook::manager::detect::detect;

/// Asks everything that the role may see. `Err`: the session is over.
pub(super) async fn ask(session: &mut Session) -> Result<Told, Failure> {
    let chart = session.ask(&CHART).await?.ok().and_then(|records| chart::chart(&records).ok());
    let roles = session.ask(&ROLES).await?.ok().and_then(|records| chart::roles(&records).ok());
    let manager = session.ask(&MANAGER).await?.ok().and_then(|records| detect(&records).ok());
    let granted = chart.as_ref().is_some_and(|chart| chart.hba_granted);
    let hba = if granted { rules(session).await? } else { None };
    Ok(Told { chart, roles, hba, manager, login: None })
}

/// Asks for `pg_hba.conf`, of a session that may see it.
pub(super) async fn rules(session: &mut Session) -> Result<Option<Vec<hba::Rule>>, Failure> {
    Ok(session.ask(&HBA).await?.ok().and_then(|records| hba::rules(&records).ok()))
}
