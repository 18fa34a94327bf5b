//! The config from a person's side: a file on disk, an environment, and the one sentence that says what is wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pgvigil::config::manager::{PgAutoFailover, Repmgr};
use pgvigil::config::{
    ConfigError, Dsn, Environment, Lock, Login, Manager, NativeHistograms, Permit, Proof, Settings, admin_target,
    check, load, target,
};
use pgvigil::pg::trail::Trail;
use pgvigil::runbook::book::Mode;

/// A directory of its own, gone at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pgvigil-config-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn env(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

/// The error as printed, with the file's name cut to `f`.
fn sentence(error: &ConfigError, path: &Path) -> String {
    error.to_string().replace(path.to_str().unwrap(), "f")
}

const GOOD: &str = "clusters: [{name: c, nodes: [{name: a, dsn: host=db1 user=m}]}]\n";

/// Configs that cannot be used, and what is said of each.
pub fn mistakes() -> Vec<(String, String)> {
    let node = |rest: &str| format!("clusters:\n  - name: c\n    nodes:\n      - name: a\n{rest}");
    let acting = |rest: &str| format!("clusters:\n  - name: c\n    nodes: [{{name: a, dsn: host=db1}}]\n{rest}\n");
    let etcd = |rest: &str| acting(&format!("    runbooks: {{lock: {{etcd: {{{rest}}}}}}}"));
    let patroni = |rest: &str| acting(&format!("    manager: {{patroni: {{{rest}}}}}"));
    let no_cluster = "f: no cluster is named: add clusters with at least one node each, or run without a config file to watch the server that PGHOST names";
    let not_yaml = "this is not YAML as it should be: check indentation, quotes and brackets";
    let bad_name = "this name cannot stand in labels and URLs: use 1 to 63 of A-Z, a-z, 0-9, dot, dash and underscore, beginning with a letter, a digit or an underscore";
    let bomb = "[&a [x,x,x,x,x,x,x,x,x,x],\n  &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a],\n  &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b],\n  &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c],\n  &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]]\n";
    let observer = |rest: &str| format!("{GOOD}observers:\n  - {{name: b, {rest}}}\n");
    let bad_url = "url of observer b is not the address of a pgvigil, such as https://pgvigil-b:10187: http or https, a host, and neither user, path nor query";
    vec![
        // The file as a whole.
        (String::new(), no_cluster.into()),
        ("clusters: []\n".into(), no_cluster.into()),
        ("listen: \"abc\n".into(), format!("f:1:9: {not_yaml}")),
        ("- a\n".into(), "f:1:1: a section of keys belongs here".into()),
        (format!("{GOOD}---\nlisten: x\n"), "f:3:1: a second document begins here: write one document, without ---".into()),
        ("listen: *nowhere\n".into(), "f:1:9: this alias names no anchor".into()),
        (format!("clusters: [{{name: c, nodes: [{{name: a, log: {bomb}}}]}}]"), "f:1:45: one value belongs here".into()),
        ("[".repeat(5000), format!("f:1:256: {not_yaml}")),
        // Keys.
        ("sample_intervall: 1s\n".into(), "f:1:1: sample_intervall is not a key here: did you mean sample_interval?".into()),
        ("timeouts: {qery: 1s}\n".into(), "f:1:12: qery is not a key here: did you mean query?".into()),
        ("timeouts: {foo: 1s}\n".into(), "f:1:12: foo is not a key here: the keys are connect, query".into()),
        (node("        dns: host=db1\n"), "f:5:9: dns is not a key here: did you mean dsn?".into()),
        (node("        dsn: host=db1\n        dsn: host=db2\n"), "f:6:9: dsn is set twice: keep one".into()),
        ("runbook_dirs: runbooks\n".into(), "f:1:15: a list belongs here".into()),
        (format!("{GOOD}runbook_dirs: [a, '']\n"), "f:2:19: a directory of runbook_dirs is empty: name one, or remove it".into()),
        (format!("{GOOD}runbook_dirs: [a, b, a]\n"), "f:2:22: runbook_dirs names this directory twice: keep one".into()),
        (format!("{GOOD}runbook_dirs: [{}]\n", (0..17).map(|n| format!("d{n}, ")).collect::<String>()), "f:2:86: runbook_dirs names more than 16 directories".into()),
        (node("        dsn: host=db1\n        log: ''\n"), "f:6:14: log of node a is empty: name a file or a directory, or remove it".into()),
        // What runbooks may do.
        (acting("    manager: stolon"), "f:4:14: this is none that there is: use one of none, patroni, repmgr, pg_auto_failover".into()),
        (acting("    manager: {stolon: {}}"), "f:4:15: this is none that there is: use one of none, patroni, repmgr, pg_auto_failover".into()),
        (acting("    manager: patroni"), "f:5:1: a section of keys belongs here".into()),
        (acting("    manager: {patroni: {}}"), "f:4:24: urls is missing here".into()),
        (acting("    manager: [none]"), "f:4:14: one word or a section of keys belongs here".into()),
        (patroni("urls: http://a:8008"), "f:4:31: a list belongs here".into()),
        (patroni("urls: []"), "f:4:31: urls of patroni of cluster c is empty: name one at least".into()),
        (patroni("urls: ['http://u:secret@a:8008']"), "f:4:32: this is no address for urls of patroni of cluster c: http or https, a host, a port, and neither user, path nor query".into()),
        (patroni("urls: ['http://a:8008', 'http://A:8008/']"), "f:4:49: urls of patroni of cluster c names this address twice: keep one".into()),
        (patroni("urls: ['http://a:8008'], password: secret"), "f:4:50: password is not a key here: did you mean password_file?".into()),
        (patroni("urls: ['http://a:8008'], username: secret"), "f:4:60: patroni of cluster c has a username and no password_file: name the file".into()),
        (patroni("urls: ['http://a:8008'], password_file: p"), "f:4:65: patroni of cluster c has a password_file and no username: write it".into()),
        (patroni("urls: ['http://a:8008'], username: 'a:secret', password_file: p"), "f:4:60: username of patroni of cluster c is empty, or has a colon in it".into()),
        (patroni("urls: ['http://a:8008'], username: a, password_file: /none/p"), "f:2:11: patroni of cluster c: password file /none/p does not exist".into()),
        (patroni("urls: ['http://a:8008'], ca_file: ca.crt"), "f:4:59: ca_file of patroni of cluster c is for https, and no address of it is https: change one of them".into()),
        (patroni("urls: ['https://a:8008'], ca_file: /none/ca.crt"), "f:2:11: patroni of cluster c: CA file /none/ca.crt: No such file or directory (os error 2)".into()),
        (acting("    manager: {repmgr: {conf: repmgr.conf}}"), "f:4:30: conf of repmgr of cluster c is no whole path of a file, such as /etc/repmgr.conf".into()),
        (acting("    manager: {pg_auto_failover: {formation: 'a b; secret'}}"), "f:4:45: formation of pg_auto_failover of cluster c is no name: use 1 to 255 of A-Z, a-z, 0-9, dot, dash, slash and underscore".into()),
        (acting("    runbooks: manual"), "f:4:15: a section of keys belongs here".into()),
        (acting("    runbooks: {mode: auto}"), "f:4:22: mode of runbooks of cluster c is none that there is: use dry-run, manual or automatic".into()),
        (acting("    runbooks: {mode: automatic}"), "f:4:22: mode of runbooks of cluster c can be automatic only with a written manager: none, which says that no cluster manager decides there: add it, or use manual".into()),
        (acting("    manager: none\n    runbooks: {mode: automatic}"), "f:5:22: mode of runbooks of cluster c can be automatic only with a lock, or single_receiver: true where alerts reach this pgvigil alone: add one of them, or use manual".into()),
        (acting("    manager: {repmgr: {}}\n    runbooks: {mode: automatic, single_receiver: true}"), "f:5:22: mode of runbooks of cluster c can be automatic only with manager: none, and a cluster manager decides there: leave it to that one, or use manual".into()),
        (acting("    runbooks: {single_receiver: true, lock: {etcd: {endpoints: ['http://a:2379']}}}"), "f:4:45: runbooks of cluster c have both single_receiver and lock: keep one".into()),
        (acting("    runbooks: {lock: {}}"), "f:4:22: etcd is missing here".into()),
        (acting("    runbooks: {lock: {consul: {}}}"), "f:4:23: consul is not a key here: the keys are etcd".into()),
        (etcd("endpoints: ['http://a:2379/v3']"), "f:4:42: this is no address for endpoints of the etcd lock of cluster c: http or https, a host, a port, and neither user, path nor query".into()),
        (etcd("endpoints: ['http://a:2379'], ttl: 1s"), "f:4:65: ttl of the etcd lock of cluster c is too short: the least is 2s".into()),
        (etcd("endpoints: ['http://a:2379'], ttl: 2500ms"), "f:4:65: ttl of the etcd lock of cluster c is no whole number of seconds, in which etcd counts".into()),
        (etcd("endpoints: ['http://a:2379'], prefix: pgvigil/"), "f:4:68: prefix of the etcd lock of cluster c is not such as /pgvigil: begin it with a slash, end it without, and use A-Z, a-z, 0-9, dot, dash, slash and underscore".into()),
        (node("        dsn: host=db1\n        admin_dsn: host=db1 password=secret\n        admin_dsn_file: /b\n"), "f:7:25: node a has both admin_dsn and admin_dsn_file: keep one".into()),
        (node("        dsn: host=db1\n        admin_dsn_file: ''\n"), "f:6:25: admin_dsn_file of node a is empty: name a file".into()),
        (node("        dsn: host=db1\n        admin_dsn_file: /none/dsn\n"), "f:6:25: node a of cluster c: admin_dsn_file /none/dsn does not exist".into()),
        (node("        dsn: host=db1\n        admin_dsn: host=db1 port=x password=secret\n"), "f:6:20: node a of cluster c: admin_dsn: port is not a port from 1 to 65535".into()),
        (node("        dsn: host=db1\n        admin_dsn: host=db3\n      - {name: b, dsn: host=db2, admin_dsn: host=db3 password=secret}\n"), "f:7:45: node b of cluster c: its admin_dsn leads to db3:5432, and so does that of node a: each node is a server of its own".into()),
        // Directories.
        (node("        dsn: host=db1\n        data_dir: ''\n"), "f:6:19: data_dir of node a is empty: name a directory, or remove it".into()),
        ("clusters: [{name: c, archive_dir: '', nodes: [{name: a, dsn: host=db1}]}]\n".into(), "f:1:35: archive_dir of cluster c is empty: name a directory, or remove it".into()),
        ("clusters: [{name: c, nodes: [{name: a, dsn: host=db1, data_dir: /d}, {name: b, dsn: host=db2, data_dir: /d}]}]\n".into(), "f:1:77: nodes a and b have the same data_dir: each server has its own".into()),
        // Single values.
        (format!("{GOOD}listen: localhost:10187\n"), "f:2:9: listen is not an IP address with a port, such as 127.0.0.1:10187, or [::]:10187 for every address".into()),
        (format!("{GOOD}listen: [1]\n"), "f:2:9: one value belongs here".into()),
        (format!("{GOOD}sample_interval: 50ms\n"), "f:2:18: sample_interval is too short: the least is 100ms".into()),
        (format!("{GOOD}sample_interval: 1\n"), "f:2:18: sample_interval has no unit: write 1s or 1ms".into()),
        (format!("{GOOD}collect_interval: soon\n"), "f:2:19: collect_interval is not a duration such as 500ms, 2s or 1m".into()),
        (format!("{GOOD}login_interval: 2h\n"), "f:2:17: login_interval is too long: the most is 1h".into()),
        (format!("{GOOD}timeouts:\n  query: 0s\n"), "f:3:10: timeouts.query is too short: the least is 50ms".into()),
        (format!("{GOOD}timeouts: 2s\n"), "f:2:11: a section of keys belongs here".into()),
        (format!("{GOOD}archive_hung_after: -1s\n"), "f:2:21: archive_hung_after is not a duration such as 500ms, 2s or 1m".into()),
        (format!("{GOOD}state_dir: ''\n"), "f:2:12: state_dir is empty: name a directory, or remove it".into()),
        // Who may do what.
        (format!("{GOOD}web_config: ''\n"), "f:2:13: web_config is empty: name a file, or remove it".into()),
        (format!("{GOOD}exposition: {{native_histograms: on}}\n"), "f:2:33: exposition.native_histograms is auto or off".into()),
        (format!("{GOOD}alertmanager: {{bearer_token_file: ''}}\n"), "f:2:35: alertmanager.bearer_token_file is empty: name a file, or remove it".into()),
        (format!("{GOOD}alertmanager: {{bearer_token: secret}}\n"), "f:2:16: bearer_token is not a key here: did you mean bearer_token_file?".into()),
        (format!("{GOOD}access: {{name: ops}}\n"), "f:2:9: a list belongs here".into()),
        (format!("{GOOD}access: [{{role: admin, user: x}}]\n"), "f:2:24: name is missing here".into()),
        (format!("{GOOD}access: [{{name: ops, role: root, user: x}}]\n"), "f:2:28: role of ops is none that there is: use viewer, approver or admin, or ingest to hand in alerts".into()),
        (format!("{GOOD}access: [{{name: ops, role: admin}}]\n"), "f:2:17: ops of access has no credential: set token_file, user or client_san".into()),
        (format!("{GOOD}access: [{{name: ops, role: admin, token: secret}}]\n"), "f:2:35: token is not a key here: did you mean token_file?".into()),
        (format!("{GOOD}access: [{{name: ops, role: admin, user: x, client_san: y}}]\n"), "f:2:56: ops of access has both user and client_san: keep one".into()),
        (format!("{GOOD}access: [{{name: ops, role: admin, token_file: ''}}]\n"), "f:2:47: token_file of ops is empty: write one".into()),
        (format!("{GOOD}access: [{{name: a, role: admin, user: x}}, {{name: a, role: viewer, user: y}}]\n"), "f:2:50: two holders of access are called a: rename one".into()),
        (format!("{GOOD}access: [{{name: a, role: admin, user: x}}, {{name: b, role: viewer, user: x}}]\n"), "f:2:50: a and b of access prove themselves by the same: whose would it be?".into()),
        (format!("{GOOD}access: [{{name: 'my ops', role: admin, user: x}}]\n"), format!("f:2:17: {bad_name}")),
        (format!("{GOOD}alertmanager: {{bearer_token_file: t}}\naccess: [{{name: alertmanager, role: admin, user: x}}]\n"), "f:3:17: alertmanager is the name of the webhook's own token: use another one".into()),
        // Clusters and nodes.
        ("clusters: x\n".into(), "f:1:11: a list belongs here".into()),
        ("clusters:\n  - nodes: []\n".into(), "f:2:5: name is missing here".into()),
        ("clusters:\n  - name: c\n".into(), "f:2:11: cluster c has no nodes: give it at least one".into()),
        ("clusters:\n  - name: my db\n".into(), format!("f:2:11: {bad_name}")),
        (format!("clusters:\n  - name: {}\n", "x".repeat(64)), format!("f:2:11: {bad_name}")),
        ("clusters:\n  - name: .hidden\n".into(), format!("f:2:11: {bad_name}")),
        (
            "clusters:\n  - name: c\n    nodes:\n      - {name: unknown, dsn: host=db1}\n".into(),
            "f:4:16: a node cannot be called unknown, which pgvigil says of a standby's upstream: rename it".into(),
        ),
        ("clusters:\n  - {name: c, nodes: [\"host=db1 password=secret\"]}\n".into(), "f:2:23: a section of keys belongs here".into()),
        ("clusters:\n  - {name: c, nodes: [{name: a, dsn: ''}]}\n  - {name: c, nodes: [{name: a, dsn: ''}]}\n".into(), "f:3:12: two clusters are called c: rename one".into()),
        (node("        dsn: host=db1\n      - name: a\n        dsn: host=db2\n"), "f:6:15: two nodes of cluster c are called a: rename one".into()),
        (node("        dsn: host=db1\n      - name: b\n        dsn: host=db2\n        slot: a\n"), "f:6:15: nodes a and b have the same slot a: their walsenders could not be told apart".into()),
        (node("        dsn: host=db1\n      - {name: b, dsn: host=db2, application_name: a}\n"), "f:6:16: nodes a and b have the same application_name a: their walsenders could not be told apart".into()),
        (node("        slot: a\n"), "f:4:15: node a has no dsn: say how to reach it in dsn or dsn_file".into()),
        (node("        dsn: host=db1\n        dsn_file: /run/b\n"), "f:6:19: node a has both dsn and dsn_file: keep one".into()),
        (node("        dsn: host=db1\n        slot: Slot-A\n"), "f:6:15: slot of node a is not a slot's name: 1 to 63 of a-z, 0-9 and _".into()),
        (node("        dsn: host=db1\n        application_name: \"a\\nb\"\n"), "f:6:27: application_name of node a is not 1 to 63 printable ASCII characters, which is all that servers keep".into()),
        (node("        dsn: host=db1\n        address: db1\n"), "f:6:18: address of node a is not a host with a port, such as 10.0.0.2:5432 or [2001:db8::2]:5432".into()),
        (node("        dsn: host=db1\n        expected: yes\n"), "f:6:19: true or false belongs here".into()),
        // Observers.
        (format!("{GOOD}observers: b\n"), "f:2:12: a list belongs here".into()),
        (format!("{GOOD}observers: [{{name: b}}]\n"), "f:2:14: url is missing here".into()),
        (observer("url: 'pgvigil-b:10187'"), format!("f:3:20: {bad_url}")),
        (observer("url: 'http://secret:secret@b'"), format!("f:3:20: {bad_url}")),
        (observer("url: 'http://b/secret'"), format!("f:3:20: {bad_url}")),
        (observer("url: 'http://b', tls: on"), "f:3:32: tls is not a key here: the keys are name, url, token_file, ca_file".into()),
        (observer("url: 'http://b'}\n  - {name: b, url: 'http://c'"), "f:4:12: two observers are called b: rename one".into()),
        (observer("url: 'http://b'}\n  - {name: c, url: 'http://B:80/'"), "f:4:20: observers b and c have the same url: remove one".into()),
        (observer("url: 'http://b', token_file: ''"), "f:3:44: token_file of observer b is empty: name a file".into()),
        (observer("url: 'https://b', token_file: /none/t"), "f:3:12: observer b: token file /none/t: No such file or directory (os error 2)".into()),
        (observer("url: 'https://b', ca_file: /none/ca"), "f:3:12: observer b: CA file /none/ca: No such file or directory (os error 2)".into()),
        (observer("url: 'http://b', ca_file: ca.crt"), "f:3:41: ca_file of observer b is for https, and its url is http: change one of them".into()),
        (observer("url: 'http://b'").replace("name: b", "name: 'b c'"), format!("f:3:12: {bad_name}")),
        // Connection strings, never shown.
        (node("        dsn: host=db1 port=x password=secret\n"), "f:5:14: node a of cluster c: dsn: port is not a port from 1 to 65535".into()),
        (node("        dsn: hots=db1 password=secret\n"), "f:5:14: node a of cluster c: dsn: \"hots\" is not a connection option: did you mean host?".into()),
        (node("        dsn: host=db1 sslmode=verify-full sslrootcert=/none/ca.crt\n"), "f:5:14: node a of cluster c: sslrootcert /none/ca.crt: No such file or directory (os error 2)".into()),
        (node("        dsn: host=db1\n      - {name: b, dsn: host=db1 port=5432 password=secret}\n"), "f:6:24: node b of cluster c: its dsn leads to db1:5432, and so does that of node a: each node is a server of its own".into()),
        (node("        dsn_file: /none/dsn\n"), "f:5:19: node a of cluster c: dsn_file /none/dsn does not exist".into()),
        (node("        dsn: {password: secret}\n"), "f:5:14: one value belongs here".into()),
    ]
}

#[test]
fn each_mistake_is_one_sentence_that_says_where_and_what_to_do() {
    let cases = mistakes();
    assert!(cases.len() >= 25, "{}", cases.len());
    let dir = Dir::new("bad");
    for (text, expected) in cases {
        let path = dir.write("pgvigil.yml", &text);
        let error = load(Some(&path), &env(&[])).expect_err(&text);
        assert_eq!(sentence(&error, &path), expected, "in:\n{text}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let dir = Dir::new("files");
    let said = |path: &Path| sentence(&load(Some(path), &env(&[])).unwrap_err(), path);
    assert_eq!(said(&dir.0.join("none.yml")), "config file f does not exist");
    assert_eq!(said(&dir.write("latin1.yml", b"listen: \xff")), "config file f is not UTF-8 text");
    let large = dir.write("large.yml", "#".repeat((1 << 20) + 1));
    assert_eq!(said(&large), "config file f is larger than 1024 KiB: is it the right file?");
    assert_eq!(said(&dir.0), "config file f cannot be read: Is a directory (os error 21)");
}

#[test]
fn defaults_lie_below_the_file_and_the_file_below_the_environment() {
    let dir = Dir::new("merge");
    let path =
        dir.write("pgvigil.yml", format!("{GOOD}timeouts: {{connect: 3s}}\nlogin_interval: 1m\nstate_dir: state\n"));
    let variables =
        [("PGVIGIL_TIMEOUTS__QUERY", "500ms"), ("PGVIGIL_LOGIN_INTERVAL", "2s"), ("PGVIGIL_LISTEN", "[::]:0")];
    let settings = load(Some(&path), &env(&variables)).unwrap();
    assert_eq!(settings.timeouts.connect, Duration::from_secs(3));
    assert_eq!(settings.timeouts.query, Duration::from_millis(500));
    assert_eq!(settings.login_interval, Duration::from_secs(2));
    assert_eq!(settings.sample_interval, Duration::from_secs(1));
    assert_eq!(settings.collect_interval, Duration::from_secs(10));
    assert_eq!(settings.archive_hung_after, Duration::from_secs(60));
    assert_eq!(settings.listen.to_string(), "[::]:0");
    assert_eq!((settings.state_dir.path, settings.state_dir.explicit), (dir.0.join("state"), true));

    let more = "web_config: web.yml\nalertmanager: {bearer_token_file: token}\n";
    let path = dir.write("pgvigil.yml", format!("{GOOD}{more}"));
    let settings = load(Some(&path), &env(&[])).unwrap();
    assert_eq!(settings.web_config, Some(dir.0.join("web.yml")));
    assert_eq!(settings.access[0].proof, Proof::TokenFile(dir.0.join("token")));
    let variables = [("PGVIGIL_WEB_CONFIG", "w.yml"), ("PGVIGIL_ALERTMANAGER__BEARER_TOKEN_FILE", "t")];
    let settings = load(Some(&path), &env(&variables)).unwrap();
    assert_eq!((settings.web_config, settings.access.len()), (Some("w.yml".into()), 1));
    assert_eq!(settings.access[0].proof, Proof::TokenFile("t".into()));

    let path = dir.write("pgvigil.yml", format!("{GOOD}exposition: {{native_histograms: auto}}\n"));
    assert_eq!(load(Some(&path), &env(&[])).unwrap().native_histograms, NativeHistograms::Auto);
    let variables = [("PGVIGIL_EXPOSITION__NATIVE_HISTOGRAMS", "off")];
    assert_eq!(load(Some(&path), &env(&variables)).unwrap().native_histograms, NativeHistograms::Off);

    let path = dir.write("pgvigil.yml", GOOD);
    assert_eq!(load(Some(&path), &env(&[])).unwrap().native_histograms, NativeHistograms::Off);
    let Settings { listen, state_dir, .. } = load(Some(&path), &env(&[])).unwrap();
    assert_eq!(listen.to_string(), "127.0.0.1:10187");
    assert_eq!((state_dir.path, state_dir.explicit), (PathBuf::from("/var/lib/pgvigil"), false));
    let settings = load(Some(&path), &env(&[("PGVIGIL_STATE_DIR", "here")])).unwrap();
    assert_eq!((settings.state_dir.path, settings.state_dir.explicit), (PathBuf::from("here"), true));
}

#[test]
fn a_wrong_variable_is_named() {
    let dir = Dir::new("variables");
    let path = dir.write("pgvigil.yml", GOOD);
    for (name, value, expected) in [
        ("PGVIGIL_TIMEOUTS__QUERY", "0s", "timeouts.query is too short: the least is 50ms"),
        ("PGVIGIL_SAMPLE_INTERVAL", "1", "sample_interval has no unit: write 1s or 1ms"),
        (
            "PGVIGIL_LISTEN",
            "",
            "listen is not an IP address with a port, such as 127.0.0.1:10187, or [::]:10187 for every address",
        ),
        ("PGVIGIL_TIMEOUTS_QUERY", "1s", "timeouts_query is not a key here: did you mean timeouts.query?"),
        ("PGVIGIL_CLUSTERS__0__NAME", "x", "clusters is a list, and lists are set in the config file alone"),
        ("PGVIGIL_OBSERVERS", "x", "observers is a list, and lists are set in the config file alone"),
        ("PGVIGIL_WEB_CONFIG", "", "web_config is empty: name a file, or remove it"),
    ] {
        let error = load(Some(&path), &env(&[(name, value)])).unwrap_err();
        assert_eq!(error.to_string(), format!("environment variable {name}: {expected}"));
    }
}

#[test]
fn nodes_get_their_defaults() {
    let dir = Dir::new("nodes");
    let text = "clusters:\n  - name: c\n    archive_dir: wal\n    nodes:\n      - {name: a, dsn: host=db1 user=m, data_dir: /srv/a}\n      - {name: b-2, dsn_file: b.dsn, application_name: 'walreceiver b', slot: slot_b, address: '[2001:db8::2]:5432', expected: false}\n";
    let path = dir.write("pgvigil.yml", text);
    let dsn_file = dir.write("b.dsn", "postgres://m:secret@db2:5433/postgres\n");
    fs::set_permissions(&dsn_file, fs::Permissions::from_mode(0o644)).unwrap();
    let report = check(Some(&path), &env(&[])).unwrap();
    let [a, b] = &report.settings.clusters[0].nodes[..] else { panic!("{report:?}") };
    assert_eq!((a.name.as_str(), a.application_name.as_str(), a.slot.as_str(), a.expected), ("a", "a", "a", true));
    assert_eq!((b.application_name.as_str(), b.slot.as_str(), b.expected), ("walreceiver b", "slot_b", false));
    assert_eq!((&b.dsn, b.address.as_deref()), (&Dsn::File(dsn_file.clone()), Some("[2001:db8::2]:5432")));
    let dialled = target(b, &env(&[]), &Trail::default()).unwrap();
    assert_eq!((dialled.address.as_str(), dialled.config.get_password()), ("db2:5433", Some(&b"secret"[..])));
    let shown = sentence_of(&report.to_string(), &dir);
    assert_eq!(
        shown,
        "D/pgvigil.yml is good:\n  c/a at db1:5432, sslmode prefer, its files in /srv/a\n  \
         c/b-2 at [2001:db8::2]:5432, sslmode prefer\n  c archives into D/wal\n\
         note: D/b.dsn can be read by everybody: chmod it to 0640 or less\n"
    );

    fs::write(&dsn_file, "postgres://m:rotated@db2:5433/postgres\n").unwrap();
    assert_eq!(target(b, &env(&[]), &Trail::default()).unwrap().config.get_password(), Some(&b"rotated"[..]));
    fs::write(&dsn_file, "\n").unwrap();
    let empty = target(b, &env(&[]), &Trail::default()).unwrap_err().to_string();
    assert_eq!(sentence_of(&empty, &dir), "dsn_file D/b.dsn is empty: write the connection string into it");
}

#[test]
fn what_runbooks_may_do_is_typed_and_shown() {
    let dir = Dir::new("acting");
    let node = |name: &str, more: &str| format!("      - {{name: {name}, dsn: host={name} user=m{more}}}\n");
    let with = |nodes: &[String], more: &str| {
        let text = format!("clusters:\n  - name: c\n    nodes:\n{}{more}\n", nodes.concat());
        check(Some(&dir.write("pgvigil.yml", text)), &env(&[])).unwrap()
    };
    let admin_dsn = dir.write("a-admin", "host=direct port=6000 user=boss password=hunter2\n");
    let password = dir.write("password", "hunter2\n");
    for file in [&admin_dsn, &password] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let nodes = [node("a", ", admin_dsn_file: a-admin"), node("b", ", admin_dsn: host=b user=boss")];

    let automatic = "    manager: none\n    runbooks: {mode: automatic, lock: {etcd: {endpoints: ['http://127.0.0.1:2379'], ttl: 10s}}}";
    let report = with(&nodes, automatic);
    let cluster = &report.settings.clusters[0];
    assert_eq!(
        (&cluster.manager, cluster.promotes(), cluster.ceiling()),
        (&Some(Manager::None), true, Mode::Automatic)
    );
    let Lock::Etcd(lock) = &cluster.runbooks.lock else { panic!("{cluster:?}") };
    assert_eq!((lock.prefix.as_str(), lock.ttl, &lock.service.login), ("/pgvigil", Duration::from_secs(10), &None));
    assert_eq!(lock.service.urls[0].as_str(), "http://127.0.0.1:2379/");
    let shown = sentence_of(&report.to_string(), &dir);
    assert_eq!(
        shown,
        "D/pgvigil.yml is good:\n  c/a at a:5432, sslmode prefer, for runbooks at direct:6000, sslmode prefer\n  \
         c/b at b:5432, sslmode prefer, for runbooks at b:5432, sslmode prefer\n  \
         c has no manager and lets runbooks be automatic under a lock in etcd at http://127.0.0.1:2379/\n"
    );
    let dialled = admin_target(&cluster.nodes[0], &env(&[]), &Trail::default()).unwrap().unwrap();
    assert_eq!((dialled.address.as_str(), dialled.config.get_password()), ("direct:6000", Some(&b"hunter2"[..])));
    assert!(!format!("{report:?}").contains("hunter2"));

    let report = with(&nodes, "    manager: none\n    runbooks: {mode: automatic, single_receiver: true}");
    assert_eq!((&report.settings.clusters[0].runbooks.lock, report.notes), (&Lock::SingleReceiver, vec![]));
    // A node that they cannot reach keeps them from all.
    let report = with(&[nodes[0].clone(), node("b", "")], "    runbooks: {mode: manual}");
    let cluster = &report.settings.clusters[0];
    assert_eq!((cluster.runbooks.mode, cluster.ceiling(), cluster.promotes()), (Mode::Manual, Mode::DryRun, true));
    assert_eq!(report.notes, ["cluster c: runbooks stay dry-run, because there is no admin_dsn of b"]);
    let report = with(&[node("a", "")], "");
    assert_eq!((&report.settings.clusters[0].runbooks, report.notes), (&Permit::default(), vec![]));

    let patroni = "    manager: {patroni: {urls: ['http://p:8008'], username: u, password_file: password}}\n    runbooks: {mode: manual}";
    let report = with(&nodes, patroni);
    let cluster = &report.settings.clusters[0];
    let Some(Manager::Patroni(service)) = &cluster.manager else { panic!("{cluster:?}") };
    let login = Login { username: "u".into(), password_file: password };
    assert_eq!((&service.login, cluster.promotes(), &service.ca_file), (&Some(login), false, &None));
    assert_eq!(
        report.notes,
        [
            "cluster c: runbooks promote nothing there themselves, patroni does",
            "patroni of cluster c: our password goes there without TLS, for all to read: use https"
        ]
    );
    assert!(report.to_string().contains("  c is managed by patroni at http://p:8008/ and lets runbooks be manual\n"));
    for (manager, expected) in [
        ("{repmgr: {}}", Manager::Repmgr(Repmgr { conf: "/etc/repmgr.conf".into() })),
        ("{repmgr: {conf: /etc/r.conf}}", Manager::Repmgr(Repmgr { conf: "/etc/r.conf".into() })),
        ("{pg_auto_failover: {}}", Manager::PgAutoFailover(PgAutoFailover { formation: "default".into() })),
    ] {
        let report = with(&nodes, &format!("    manager: {manager}"));
        assert_eq!(report.settings.clusters[0].manager, Some(expected));
        assert!(!report.settings.clusters[0].promotes());
    }
}

#[test]
fn a_token_that_everybody_can_read_is_noted() {
    let dir = Dir::new("observers");
    let token = dir.write("token", "abc\n");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let with = |url: &str| {
        let text = format!("{GOOD}observers: [{{name: b, url: '{url}', token_file: token}}]\n");
        check(Some(&dir.write("pgvigil.yml", text)), &env(&[])).unwrap()
    };
    let report = with("https://b:10187");
    let observer = &report.settings.observers[0];
    assert_eq!((observer.name.as_str(), observer.token_file.as_deref()), ("b", Some(&*token)));
    assert_eq!(report.notes, [""; 0]);
    assert!(report.to_string().ends_with("\n  observer b at https://b:10187/\n"), "{report}");
    let note = "observer b: our token goes there without TLS, for all to read: use https";
    assert_eq!(with("http://b:10187").notes, [note]);
    assert_eq!(with("http://127.0.0.1:10187").notes, [""; 0]);
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(with("https://b:10187").notes[0].ends_with("token can be read by everybody: chmod it to 0640 or less"));
}

fn sentence_of(text: &str, dir: &Dir) -> String {
    text.replace(dir.0.to_str().unwrap(), "D")
}

#[test]
fn without_a_file_libpqs_environment_names_the_server() {
    // The tests run where there is neither pgvigil.yml nor /etc/pgvigil/pgvigil.yml.
    for (variables, node, address) in [
        (&[("PGHOST", "db1"), ("PGUSER", "m"), ("PGPORT", "6000")][..], "db1", "db1:6000"),
        (&[("PGHOST", "/run/pg"), ("PGUSER", "m")], "local", "/run/pg:5432"),
        (&[("PGHOST", "2001:db8::2"), ("PGUSER", "m")], "2001-db8--2", "[2001:db8::2]:5432"),
        (&[("PGUSER", "m"), ("PGVIGIL_SAMPLE_INTERVAL", "100ms")], "local", "/var/run/postgresql:5432"),
    ] {
        let report = check(None, &env(variables)).unwrap();
        let [cluster] = &report.settings.clusters[..] else { panic!("{report:?}") };
        assert_eq!((cluster.name.as_str(), cluster.nodes.len()), ("default", 1));
        assert_eq!(cluster.nodes[0].name, node);
        let dialled = target(&cluster.nodes[0], &env(variables), &Trail::default()).unwrap().address;
        assert!(dialled == address || (node == "local" && dialled == "/tmp:5432"), "{dialled}");
    }
    let error = check(None, &env(&[("PGPORT", "x")])).unwrap_err();
    assert_eq!(error.to_string(), "node local of cluster default: dsn: PGPORT is not a port from 1 to 65535");
}
