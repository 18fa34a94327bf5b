//! The backups of a cluster: asked of the program that makes them, seldom.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Hub;
use crate::clock::Moment;
use crate::collector::snapshot::Fact;
use crate::config::Backup;
use crate::doctor::backup::{self, Backups};
use crate::runbook::step::listen::listen;

/// How often it is asked; an answer counts three times as long.
const EACH: Duration = Duration::from_secs(300);
/// A repository may be far away.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) async fn watch(hub: Arc<Hub>, by: Backup) {
    report(&hub, &by, Err("it was not asked yet".to_owned()));
    loop {
        once(&hub, &by).await;
        sleep(EACH).await;
    }
}

/// Asks once.
pub(super) async fn once(hub: &Hub, by: &Backup) {
    let argv: Vec<_> = by.argv.iter().cloned().chain(by.tool.arguments(&by.name)).collect();
    let said = listen(&argv, DEADLINE).await;
    report(hub, by, said.and_then(|said| by.tool.read(&said, &by.name)));
}

fn report(hub: &Hub, by: &Backup, found: Result<Vec<backup::Backup>, String>) {
    let Backup { tool, name, max_age, .. } = by.clone();
    let value = Backups { tool, name, max_age, counts_for: 3 * EACH, found };
    hub.cluster().aside_mut().backups = Some(Fact { value, seen: Moment::now() });
}
