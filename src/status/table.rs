//! A cluster as a table, for a look at one moment.

use comfy_table::{ContentArrangement, Table, presets};

use super::answer::{Cluster, Lag, Lags, Standby};
use super::text::{bytes, safe};

/// The table; one for a terminal is as wide as that.
pub(super) fn table(cluster: &Cluster, is_terminal: bool) -> String {
    let primary = cluster.primary.as_deref().unwrap_or("unknown");
    let loss = cluster.failover_loss.as_ref().map_or("unknown".to_owned(), |loss| {
        format!("{} seen, {} estimated", bytes(loss.seen_bytes), bytes(loss.estimated_bytes))
    });
    let head = format!(
        "cluster {}: primary {primary}; split brain {}; a failover now would lose {loss}\n",
        cluster.name, cluster.split_brain
    );
    let maintenance = cluster.maintenance.as_ref().map_or(String::new(), |maintenance| {
        let reason = maintenance.reason.as_ref().map_or(String::new(), |reason| format!(": {}", safe(reason)));
        format!("in maintenance until {}, by {}{reason}\n", maintenance.until, maintenance.by)
    });
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "NODE",
        "STATE",
        "ROLE",
        "RECEIVED",
        "REPLAYED",
        "CONNECTED",
        "WHY",
    ]);
    // A pipe gets every line whole.
    if is_terminal {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    for node in &cluster.nodes {
        let verdicts = &node.verdicts;
        let lag = |stage: fn(&Lags) -> &Lag| verdicts.lag.as_ref().map_or("-".to_owned(), |lags| behind(stage(lags)));
        table.add_row([
            verdicts.name.clone(),
            verdicts.state.clone(),
            node.role.clone(),
            lag(|lags| &lags.received),
            lag(|lags| &lags.replayed),
            connected(cluster, &verdicts.name).to_owned(),
            node.failure.as_ref().map_or(String::new(), |failure| safe(&failure.value.message)),
        ]);
    }
    let others =
        cluster.standbys.iter().filter(|standby| !cluster.nodes.iter().any(|it| it.verdicts.name == standby.standby));
    let others: Vec<_> = others.map(|standby| safe(&standby.standby)).collect();
    let others = match others.as_slice() {
        [] => String::new(),
        names => format!("standbys that the config does not name: {}\n", names.join(", ")),
    };
    let lines: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    format!("{head}{maintenance}{lines}{others}")
}

fn connected(cluster: &Cluster, name: &str) -> &'static str {
    match cluster.standbys.iter().find(|standby| standby.standby == name) {
        None => "-",
        Some(Standby { connected: true, .. }) => "yes",
        Some(Standby { expected: true, .. }) => "no, expected",
        Some(_) => "no",
    }
}

fn behind(lag: &Lag) -> String {
    match (lag.seconds, lag.bytes, &lag.unknown) {
        (Some(seconds), Some(amount), _) => format!("{seconds:.1} s, {}", bytes(amount)),
        (Some(seconds), None, _) => format!("{seconds:.1} s"),
        (None, _, Some(why)) => format!("unknown: {}", why.replace('_', " ")),
        (None, _, None) => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_never_shown_as_a_number() {
        let lag = Lag { seconds: None, bytes: Some(0), unknown: Some("primary_unseen".to_owned()) };
        assert_eq!(behind(&lag), "unknown: primary unseen");
    }
}
