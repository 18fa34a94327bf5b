use std::collections::BTreeSet;

use proptest::prelude::*;
use serde::de::DeserializeOwned;

use super::raw::{
    RawAlertmanager, RawBackup, RawBarman, RawClients, RawCluster, RawEtcd, RawExposition, RawHolder, RawNode,
    RawObserver, RawPatroni, RawPgAutoFailover, RawPgbackrest, RawReplication, RawRepmgr, RawRunbooks, RawTimeouts,
    SCALARS,
};
use super::web::{RawHeaders, RawHttp, RawRate, RawTls, RawWeb};
use super::*;
use crate::runbook::book::Mode;

const DOC: &str = include_str!("../../docs/configuration.md");
const EXAMPLE: &str = include_str!("../../deploy/pgvigil.example.yml");

/// The keys that a section knows, as its own error tells them.
fn keys_of<T: DeserializeOwned>(section: &str) -> Vec<String> {
    let error = serde_json::from_str::<T>(r#"{"?": 0}"#).err().map(|error| error.to_string()).unwrap_or_default();
    error.split('`').skip(3).step_by(2).map(|key| format!("{section}{key}")).collect()
}

/// The cells of the document's rows whose first cell is a key.
fn documented() -> Vec<Vec<&'static str>> {
    let rows = DOC.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim_matches([' ', '`'])).collect()).collect()
}

fn keys_of_the_web_config() -> BTreeSet<String> {
    let mut known: BTreeSet<String> = keys_of::<RawWeb>("").into_iter().collect();
    for section in ["tls_server_config", "http_server_config", "rate_limit"] {
        assert!(known.remove(section), "{section}: {known:?}");
    }
    known.extend(keys_of::<RawTls>("tls_server_config."));
    known.extend(keys_of::<RawHttp>("http_server_config."));
    assert!(known.remove("http_server_config.headers"));
    known.extend(keys_of::<RawHeaders>("http_server_config.headers."));
    known.extend(keys_of::<RawRate>("rate_limit."));
    known
}

#[test]
fn every_key_is_documented_with_its_default_and_bounds() {
    let rows = documented();
    let mut known: BTreeSet<String> = keys_of::<RawConfig>("").into_iter().collect();
    for section in ["timeouts", "clusters", "access", "alertmanager", "exposition", "observers"] {
        assert!(known.remove(section), "{section}: {known:?}");
    }
    known.extend(keys_of::<RawHolder>("access[]."));
    known.extend(keys_of::<RawAlertmanager>("alertmanager."));
    known.extend(keys_of::<RawExposition>("exposition."));
    known.extend(keys_of_the_web_config());
    known.extend(keys_of::<RawTimeouts>("timeouts."));
    known.extend(keys_of::<RawObserver>("observers[]."));
    known.extend(keys_of::<RawCluster>("clusters[]."));
    assert!(known.remove("clusters[].nodes") && known.remove("clusters[].runbooks"));
    assert!(known.remove("clusters[].clients"));
    known.extend(keys_of::<RawClients>("clusters[].clients[]."));
    assert!(known.remove("clusters[].backup"));
    known.extend(keys_of::<RawBackup>("clusters[].backup."));
    assert!(known.remove("clusters[].backup.pgbackrest") && known.remove("clusters[].backup.barman"));
    known.extend(keys_of::<RawPgbackrest>("clusters[].backup.pgbackrest."));
    known.extend(keys_of::<RawBarman>("clusters[].backup.barman."));
    assert!(known.remove("clusters[].replication"));
    known.extend(keys_of::<RawReplication>("clusters[].replication."));
    known.extend(keys_of::<RawPatroni>("clusters[].manager.patroni."));
    known.extend(keys_of::<RawRepmgr>("clusters[].manager.repmgr."));
    known.extend(keys_of::<RawPgAutoFailover>("clusters[].manager.pg_auto_failover."));
    known.extend(keys_of::<RawRunbooks>("clusters[].runbooks."));
    assert!(known.remove("clusters[].runbooks.lock"));
    known.extend(keys_of::<RawEtcd>("clusters[].runbooks.lock.etcd."));
    known.extend(keys_of::<RawNode>("clusters[].nodes[]."));
    let listed: BTreeSet<String> = rows.iter().map(|row| row[0].to_owned()).collect();
    assert_eq!(listed, known);
    assert_eq!(rows.len(), known.len(), "a key is documented twice");

    let row = |key: &str| rows.iter().find(|row| row[0] == key).unwrap();
    for (key, default) in SCALARS {
        let default = if default.is_empty() { "none" } else { default };
        assert_eq!(row(key)[1], default, "default of {key}");
    }
    for (key, least, most) in settings::BOUNDS {
        let bounds = format!("{} to {}", duration::show(least), duration::show(most));
        assert!(row(key)[2].contains(&bounds), "{key}: {bounds}");
    }
    let (least, most) = write_probe::WRITE_PROBE;
    let bounds = format!("{} to {}", duration::show(least), duration::show(most));
    assert!(row("clusters[].write_probe")[2].contains(&bounds));
    let max_age = format!("{} to {}", duration::show(backup::MAX_AGE.0), duration::show(backup::MAX_AGE.1));
    assert!(row("clusters[].backup.max_age")[2].contains(&max_age), "{max_age}");
    let ttl = format!("{} to {}", duration::show(runbooks::TTL.0), duration::show(runbooks::TTL.1));
    assert!(row("clusters[].runbooks.lock.etcd.ttl")[2].contains(&ttl));
}

#[test]
fn what_the_documents_show_is_a_config() {
    let mut blocks: Vec<&str> = DOC.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 2, "{}", blocks.len());
    blocks.push(EXAMPLE);
    // Those of the web config are a format of their own.
    let (webs, blocks): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|block| block.contains("basic_auth_users"));
    assert!(!webs.is_empty());
    for block in webs {
        web::parse(block, Path::new("")).unwrap_or_else(|error| panic!("{error:?} in:\n{block}"));
    }
    for block in blocks {
        let report = judge(Some("x.yml".into()), Some(block), &Environment::default());
        report.unwrap_or_else(|error| panic!("{error} in:\n{block}"));
    }
}

#[test]
fn no_debug_shows_a_dsn() {
    let text = "clusters: [{name: c, nodes: [{name: a, dsn: 'host=x password=hunter2', admin_dsn: 'host=x password=hunter2'}]}]";
    let report = judge(Some("x.yml".into()), Some(text), &Environment::default()).unwrap();
    let raw: RawConfig = yaml::parse(text).unwrap();
    assert!(!format!("{report:?} {report} {raw:?}").contains("hunter2"));
}

#[test]
fn what_runbooks_go_by_stays_that_of_before() {
    let settings = |text: &str| {
        let text = format!("clusters:\n  - {text}\n");
        judge(Some("x.yml".into()), Some(&text), &Environment::default()).unwrap().settings
    };
    let one = |dsn: &str, more: &str| {
        let nodes = format!("{{name: a, dsn: host={dsn}, admin_dsn: host={dsn} user=boss}}");
        format!("{{name: c, {more} nodes: [{nodes}]}}")
    };
    let automatic = "manager: none, runbooks: {mode: automatic, single_receiver: true},";
    let old = settings(&one("x", automatic));
    let mut same = settings(&one("x", automatic));
    assert!(!same.act_as(&old) && same == old);
    for (other, more) in [("x", ""), ("x", "manager: {repmgr: {}},"), ("x", "manager: none, runbooks: {mode: manual},")]
    {
        let mut new = settings(&one(other, more));
        assert!(new.act_as(&old), "{more}");
        assert_eq!(new, old, "{more}");
    }
    let mut moved = settings(&one("y", automatic));
    assert!(moved.act_as(&old));
    assert_eq!((&moved.clusters[0].nodes[0].admin_dsn, moved.clusters[0].ceiling()), (&None, Mode::DryRun));
    assert_eq!(moved.clusters[0].runbooks, old.clusters[0].runbooks);
    let mut more =
        settings(&format!("{}\n  - {}", one("x", automatic), one("z", automatic).replace("name: c", "name: d")));
    assert!(more.act_as(&old));
    assert_eq!((&more.clusters[0], &more.clusters[1].runbooks), (&old.clusters[0], &Permit::default()));
    assert_eq!(more.clusters[1].nodes[0].admin_dsn, None);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text: String) {
        let _ = judge(Some("x.yml".into()), Some(&text), &Environment::default());
    }

    /// The example, cut and mended at random, with pieces that mean something to YAML.
    #[test]
    fn no_damage_makes_it_panic_or_leak(
        cuts in prop::collection::vec((0.0..1.0f64, 0..40usize, "[-:{}\\[\\]&*!|>'\"%@`#?~\n\t a-z0-9]{0,6}"), 1..6),
    ) {
        let mut text: Vec<char> = EXAMPLE.replace("# admin_dsn", "admin_dsn").replace("host=", "password=hunter2 host=").chars().collect();
        for (at, len, piece) in cuts {
            let start = (at * text.len() as f64) as usize;
            let end = (start + len).min(text.len());
            text.splice(start..end, piece.chars());
        }
        let text: String = text.into_iter().collect();
        let shown = match judge(Some("x.yml".into()), Some(&text), &Environment::default()) {
            Ok(report) => format!("{report:?} {report}"),
            Err(error) => format!("{error:?} {error}"),
        };
        prop_assert!(!shown.contains("hunter2"), "{}", shown);
    }

    /// A web config with secrets, cut and mended at random.
    #[test]
    fn no_damage_of_a_web_config_makes_it_panic_or_leak(
        cuts in prop::collection::vec((0.0..1.0f64, 0..40usize, "[-:{}\\[\\]&*!|>'\"%@`#?~\n\t a-z0-9]{0,6}"), 1..6),
    ) {
        let secret = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";
        let text = format!(
            "tls_server_config:\n  cert: hunter2\n  key: hunter2\n  min_version: TLS13\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n\
             basic_auth_users:\n  ann: {secret}\nrate_limit: {{interval: 1m30s, burst: 3}}\n"
        );
        let mut text: Vec<char> = text.chars().collect();
        for (at, len, piece) in cuts {
            let start = (at * text.len() as f64) as usize;
            let end = (start + len).min(text.len());
            text.splice(start..end, piece.chars());
        }
        let text: String = text.into_iter().collect();
        let shown = match web::parse(&text, Path::new("")) {
            Ok(web) => format!("{:?} {:?}", web.users.values(), web.tls.map(|tls| tls.key)),
            Err(error) => format!("{error:?}"),
        };
        prop_assert!(!shown.contains("hunter2") && !shown.contains("X0h1gDsPszWURQaxFh"), "{}", shown);
    }

    #[test]
    fn no_variable_makes_it_panic(name in "PGVIGIL_[A-Z_0-9]{0,20}|PG[A-Z]{0,10}", value: String) {
        let _ = judge(None, None, &Environment::from_iter([(name, value)]));
    }
}
