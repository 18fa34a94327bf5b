//! A secret in every place that takes one, and then a look at everything that pgvigil shows or leaves behind.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use pgvigil::lab::{Archive, Lab, LabError, ServerOptions, Spawn, StandbyOptions, wait_until};
use rustix::process::Signal;

use super::client::get;
use super::door::PAGES;
use super::failures::{PGVIGIL, opened};
use super::watch::SOON;
use super::web::{Secured, bearer};
use crate::pki::Authority;

/// Everything here begins so.
const SECRET: &str = "Secret-";

/// What was seen, and where.
type Shown = Vec<(String, String)>;

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Configs that cannot be used, each with a secret near what is wrong.
fn bad_configs(key: &Path) -> Vec<String> {
    let node = |node: &str| format!("clusters:\n  - name: c\n    nodes:\n      - {node}\n");
    let dsn = |dsn: &str| node(&format!("{{name: a, dsn: \"{dsn}\"}}"));
    vec![
        dsn("host=db1 password=Secret-1 port=x"),
        dsn("host=db1 password=word Secret-2"),
        dsn("host=db1 password='Secret-3"),
        dsn("host=db1 pasword=Secret-4"),
        dsn("host=Secret-5@db1 user=m"),
        dsn("postgresql://m:Secret-6@db1:x/postgres"),
        dsn("postgresql://m:Secret-7@[db1/postgres"),
        dsn("postgres//m:Secret-8@db1/postgres"),
        dsn("host=db1 password=Secret-9 sslmode=verify-full"),
        dsn("host=db1 password=Secret-10 sslmode=Secret-11"),
        dsn(&format!("host=db1 sslmode=require sslcert={0} sslkey={0}", key.display())),
        node("\"host=db1 password=Secret-12\""),
        node("{name: a, dsn: {password: Secret-13}}"),
        node("{name: a, dsn: [Secret-14]}"),
        node("{name: a, dsn: host=db1, password: Secret-15}"),
        node("{name: a, dsn: \"password=Secret-16}"),
        node("{name: a, dsn: host=db1 user=m, expected: Secret-17}"),
        node("{name: a, dsn: host=db1 password=Secret-18, dsn_file: /none}"),
        node("{name: a, dsn: host=db1 password=Secret-19}\n      - {name: a, dsn: host=db2 password=Secret-20}"),
        "access: [{name: ops, role: admin, token: Secret-21}]\n".to_owned(),
        "alertmanager: {bearer_token: Secret-22}\n".to_owned(),
        node("{name: a, dsn: host=db1, admin_dsn: \"host=db1 user=m password=Secret-23 port=x\"}"),
        node("{name: a, dsn: host=db1, admin_dsn: {password: Secret-24}}"),
        node("{name: a, dsn: host=db1}\n    manager: {patroni: {urls: [\"http://u:Secret-25@db1:8008\"]}}"),
        node("{name: a, dsn: host=db1}\n    manager: {patroni: {urls: [\"http://db1:8008\"], password: Secret-26}}"),
        node("{name: a, dsn: host=db1}\n    manager: Secret-27"),
        node("{name: a, dsn: host=db1}\n    runbooks: {lock: {etcd: {endpoints: [\"http://db1:2379/Secret-28\"]}}}"),
    ]
}

async fn run(lab: &Lab, args: &[&str]) -> Result<(Option<i32>, String), LabError> {
    let process = lab.spawn(args.iter().fold(Spawn::new("once", PGVIGIL), |spawn, arg| spawn.arg(*arg)))?;
    let code = process.wait(SOON).await?.code();
    Ok((code, process.log()))
}

#[tokio::test]
async fn no_secret_is_in_anything_that_is_shown_or_left_behind() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let archive = lab.server_dir("wal")?;
    let mut options = ServerOptions::default().archive(&Archive::Into(archive));
    options = options.set("ssl_passphrase_command", "echo Secret-passphrase");
    let a = lab.primary("a", options).await?;
    for role in ["inline", "in_file", "in_passfile", "in_environment"] {
        a.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'Secret-{role}' IN ROLE pg_monitor")).await?;
    }
    a.sql("CREATE ROLE streamer LOGIN REPLICATION PASSWORD 'Secret-conninfo'").await?;
    let restore_command = Some("TOKEN=Secret-restore false".to_owned());
    let b = lab.standby_of(&a, "b", StandbyOptions { restore_command, ..Default::default() }).await?;
    let through = format!("host=127.0.0.1 port={} user=streamer password=Secret-conninfo application_name=b", a.port());
    b.configure(&[("primary_conninfo", &through)]);
    b.reload().await?;
    // A command that fails is in the server's log with all its words.
    a.alter(&[("archive_command", "TOKEN=Secret-archive false")]).await?;
    wait_until("b to stream as streamer", SOON, async || {
        let users = a.query("SELECT usename FROM pg_stat_replication").await?;
        if users == [[Some("streamer".to_owned())]] { Ok(()) } else { Err(format!("{users:?}")) }
    })
    .await?;
    a.switch_wal().await?;

    let file = |name: &str| lab.path().join(name);
    let at = |host: &str, port: u16, user: &str| format!("host={host} port={port} user={user} dbname=postgres");
    write(&file("b.dsn"), &format!("{} password=Secret-in_file\n", at("127.0.0.1", b.port(), "in_file")));
    write(&file("patroni"), "Secret-patroni\n");
    write(&file("passfile"), &format!("*:{}:*:in_passfile:Secret-in_passfile\n", a.port()));
    write(&file("key.pem"), "-----BEGIN PRIVATE KEY-----\nSecret-key\n-----END PRIVATE KEY-----\n");
    let (port, state, cores) = (lab.free_port()?, lab.own_dir("state")?, lab.own_dir("cores")?);
    let dsn = |name: &str, dsn: &str| format!("      - {{name: {name}, dsn: \"{dsn}\"}}\n");
    let nodes = [
        dsn(
            "a",
            &format!(
                "{0} password=Secret-inline\", admin_dsn: \"{0} password=Secret-admin",
                at("127.0.0.1", a.port(), "inline")
            ),
        ),
        format!("      - {{name: b, dsn_file: {0}, admin_dsn_file: {0}}}\n", file("b.dsn").display()),
        dsn(
            "c",
            &format!("{} password=Secret-wrong", at("127.0.0.1", a.port(), "inline")).replace("postgres", "template1"),
        ),
        dsn("d", "postgresql://nobody:Secret-unused@127.0.0.1:1/postgres"),
        dsn("f", &at("localhost", b.port(), "in_environment")),
    ];
    let good = format!(
        "listen: 127.0.0.1:{port}\nstate_dir: {}\nsample_interval: 500ms\ncollect_interval: 1s\nlogin_interval: 1s\n\
         clusters:\n  - name: lab\n    nodes:\n{}    \
         manager: {{patroni: {{urls: [\"http://127.0.0.1:1\"], username: m, password_file: {}}}}}\n",
        state.display(),
        nodes.concat(),
        file("patroni").display()
    );
    let config = file("pgvigil.yml");
    write(&config, &good);
    // As talkative as it can be, and free to leave a core file.
    let script = "ulimit -c unlimited && exec \"$1\" serve --config \"$2\"";
    let spawn = Spawn::new("pgvigil", "sh").arg("-c").arg(script).arg("sh").arg(PGVIGIL).arg(&config).cwd(&cores);
    let spawn = spawn.env("RUST_LOG", "trace").env("PGPASSWORD", "Secret-in_environment");
    let vigil = opened(lab.spawn(spawn)?, port).await?;
    for (node, state) in [("a", "up"), ("b", "up"), ("c", "auth_failed"), ("d", "unreachable"), ("f", "up")] {
        vigil.until_state(node, state).await;
    }
    vigil
        .until("an archiver that fails", |page| match page.get("archive_state", "node=\"a\",state=\"failing\"") {
            Some(1.0) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;

    let mut shown = Shown::new();
    // A password file counts where PGPASSWORD is not set.
    let (port_2, state_2) = (lab.free_port()?, lab.own_dir("state-2")?);
    let with_passfile = format!(
        "{{name: e, dsn: \"{} passfile={}\"}}",
        at("127.0.0.1", a.port(), "in_passfile"),
        file("passfile").display()
    );
    let one = super::failures::config(&lab, port_2, &state_2, &with_passfile);
    let spawn = Spawn::new("with-passfile", PGVIGIL).arg("serve").arg("--config").arg(one).env("RUST_LOG", "trace");
    let second = opened(lab.spawn(spawn)?, port_2).await?;
    second.until_state("e", "up").await;
    shown.push(("API of the second".to_owned(), get(port_2, "/api/v1/clusters/lab", "").await.text()));
    second.process().terminate(SOON).await?;
    shown.push(("log of the second".to_owned(), second.log()));
    let more = ["/sd", "/metrics?cluster=lab", "/metrics?self=1", "/api/v1/openapi.yaml", "/api/v1/clusters/other"];
    for path in PAGES.into_iter().chain(more) {
        shown.push((path.to_owned(), get(port, path, "").await.text()));
    }
    let open_metrics = get(port, "/metrics", "Accept: application/openmetrics-text\r\n").await;
    shown.push(("OpenMetrics".to_owned(), open_metrics.text()));
    let server = format!("http://127.0.0.1:{port}");
    for args in [&["status", "--server", &server][..], &["status", "--json", "--server", &server]] {
        let (code, said) = run(&lab, args).await?;
        assert_eq!(code, Some(0), "{said}");
        shown.push((args.join(" "), said));
    }
    shown.push(("check".to_owned(), run(&lab, &["check", "--config", config.to_str().unwrap()]).await?.1));
    let bad = bad_configs(&file("key.pem"));
    for text in &bad {
        write(&file("bad.yml"), text);
        let (code, said) = run(&lab, &["check", "--config", file("bad.yml").to_str().unwrap()]).await?;
        assert_eq!(code, Some(2), "{text}: {said}");
        shown.push((format!("check of {text}"), said));
    }
    // The same to the one that runs, as far as it says each in turn.
    for (number, text) in bad.iter().take(9).enumerate() {
        write(&file("pgvigil.new"), text);
        std::fs::rename(file("pgvigil.new"), &config).unwrap();
        vigil.process().signal(Signal::HUP)?;
        wait_until("the reload refused", SOON, async || match vigil.log().matches("was not taken in").count() {
            count if count > number => Ok(()),
            count => Err(format!("{count} refused")),
        })
        .await?;
    }
    for entry in std::fs::read_dir(&state).unwrap().flatten() {
        shown.push((entry.path().display().to_string(), std::fs::read_to_string(entry.path()).unwrap_or_default()));
    }
    shown.push(("command line".to_owned(), vigil.process().id().title()));
    vigil.process().signal(Signal::ABORT)?;
    let end = vigil.process().wait(SOON).await?;
    shown.push(("log".to_owned(), vigil.log()));
    for (place, text) in &shown {
        assert!(!text.is_empty(), "{place}");
        for secret in [SECRET, "streamer", "TOKEN=", "password="] {
            assert!(!text.contains(secret), "{secret} in {place}:\n{text}");
        }
    }
    println!("{} places, {} bytes", shown.len(), shown.iter().map(|(_, text)| text.len()).sum::<usize>());

    // Another process that ends like this leaves one, where this system lets anybody.
    let other =
        Spawn::new("other", "sh").arg("-c").arg("ulimit -c unlimited; kill -ABRT $$").cwd(lab.own_dir("other")?);
    let other = lab.spawn(other)?.wait(SOON).await?;
    println!("a core file of pgvigil: {}, of another process: {}", end.core_dumped(), other.core_dumped());
    assert_eq!((end.signal(), other.signal()), (Some(6), Some(6)));
    assert!(!end.core_dumped());
    assert_eq!(std::fs::read_dir(&cores).unwrap().count(), 0, "something is left in {}", cores.display());
    lab.stop().await;
    Ok(())
}

/// The tokens by the files that hold them.
const TOKENS: [(&str, &str); 4] = [
    ("root", "Secret-root-0123456789"),
    ("dev", "Secret-dev-0123456789"),
    ("hook", "Secret-hook-0123456789"),
    ("peer", "Secret-peer-0123456789"),
];
const PASSWORD: &str = "Secret-of-prom";

/// Everybody who may come in, and an observer that is this process itself, asked with a token of its own.
const DOOR: &str = "sample_interval: 200ms\nlogin_interval: 1s\nalertmanager: {bearer_token_file: hook}\naccess:\n  \
    - {name: root, role: admin, token_file: root}\n  - {name: dev, role: viewer, token_file: dev}\n  \
    - {name: peer, role: viewer, token_file: peer}\nobservers:\n  \
    - {name: itself, url: 'https://127.0.0.1:PORT', token_file: peer, ca_file: ca.crt}\n";

/// Secrets in the wrong place: the file, its text, and what is said of it.
const MISTAKES: [(&str, &str, &str); 11] = [
    ("web.yml", "basic_auth_users: {prom: Secret-in-clear}\n", "bcrypt"),
    ("web.yml", "basic_auth_users: {prom: {password: Secret-1}}\n", "web.yml"),
    ("web.yml", "basic_auth_users: {prom: $2y$10$Secret-hash}\n", "bcrypt"),
    ("web.yml", "basic_auth_user: {prom: Secret-2}\n", "did you mean basic_auth_users"),
    ("web.yml", "tls_server_config: {cert_file: server.crt, key: Secret-3}\n", "key holds no private key"),
    ("web.yml", "tls_server_config: {cert_file: server.crt, key: Secret-4\n", "web.yml"),
    ("root", "Secret-5", "token_file"),
    ("root", "Secret-6-0123456789 Secret-7-0123456789\n", "token_file"),
    ("root", "Secret-dev-0123456789", "token_file"),
    ("server.key", "-----BEGIN PRIVATE KEY-----\nSecret-8\n-----END PRIVATE KEY-----\n", "server.key"),
    ("ca.crt", "-----BEGIN CERTIFICATE-----\nSecret-9\n-----END CERTIFICATE-----\n", "ca.crt"),
];

/// What nobody may see of these: tokens, passwords and their hash as they are, as a client encodes them, and each line of the keys.
fn hidden(hash: &str, keys: &[&str]) -> Vec<String> {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let basic = BASE64_STANDARD.encode(format!("prom:{PASSWORD}"));
    let mut hidden = vec![SECRET.to_owned(), "$2b$".to_owned(), "$2y$".to_owned(), hash[hash.len() - 31..].to_owned()];
    // A piece of what is encoded shows as much.
    hidden.extend([basic[..16].to_owned(), BASE64_STANDARD.encode("Secret-")[..8].to_owned()]);
    hidden.push("PRIVATE KEY".to_owned());
    hidden.extend(keys.iter().flat_map(|key| key.lines()).filter(|line| !line.starts_with('-')).map(str::to_owned));
    hidden
}

#[tokio::test]
async fn no_secret_of_the_door_is_in_anything_that_is_shown() -> Result<(), LabError> {
    let (text, json) = tokio::join!(at_the_door("text"), at_the_door("json"));
    text.and(json)
}

async fn at_the_door(format: &str) -> Result<(), LabError> {
    let hash = bcrypt::hash(PASSWORD, 4).unwrap();
    let web =
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\nbasic_auth_users:\n  prom: \"HASH\"\n";
    let shown_to_servers = Authority::new().issue(&["pgvigil"]);
    let mut files: Vec<_> = TOKENS.iter().map(|(file, token)| (*file, (*token).to_owned())).collect();
    files.push(("passfile", "*:*:*:*:Secret-in-passfile\n".to_owned()));
    files.extend([("client.crt", shown_to_servers.cert.clone()), ("client.key", shown_to_servers.key.clone())]);
    let node = "{name: a, dsn: \"host=127.0.0.1 port=1 user=m dbname=postgres sslmode=require passfile=DIR/passfile \
                sslcert=DIR/client.crt sslkey=DIR/client.key\"}";
    let secured = Secured::start_with(&web.replace("HASH", &hash), DOOR, node, format, &files).await?;
    let (lab, client) = (&secured.lab, secured.client());
    let server_key = std::fs::read_to_string(secured.dir.join("server.key")).unwrap();
    let mut shown = Shown::new();

    // Everybody everywhere, as they are let in and as they are not.
    let basic = |user: &str| {
        use base64::prelude::{BASE64_STANDARD, Engine};
        format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(user))
    };
    let mut credentials = vec![String::new(), basic(&format!("prom:{PASSWORD}")), basic("prom:Secret-wrong")];
    credentials.extend([basic("Secret-without-colon"), "Authorization: Secret-scheme x\r\n".to_owned()]);
    credentials.extend(TOKENS.iter().map(|(_, token)| bearer(token)));
    credentials.push(bearer("Secret-wrong-0123456789"));
    let more = ["/sd", "/metrics?self=1", "/api/v1/openapi.yaml", "/api/v1/clusters/other", "/nowhere"];
    let mut statuses = std::collections::BTreeSet::new();
    for credential in &credentials {
        let gets = PAGES.into_iter().chain(more).map(|path| ("GET", path));
        for (method, path) in gets.chain([("POST", "/-/reload"), ("POST", "/metrics"), ("DELETE", "/nowhere")]) {
            let answer = secured.ask(&client, method, path, credential).await.unwrap();
            statuses.insert(answer.status);
            shown.push((format!("{method} {path} with {credential:?}"), format!("{}\n{}", answer.head, answer.text())));
        }
    }
    assert_eq!(statuses, [200, 401, 403, 404, 405].into());
    let asks_itself = "observer_state{observer=\"itself\",state=\"ourselves\"} 1";
    wait_until("the observer that is ourselves", SOON, async || {
        let page = secured.ask(&client, "GET", "/metrics", &bearer(TOKENS[0].1)).await?.text();
        if page.contains(asks_itself) { Ok(()) } else { Err(page) }
    })
    .await?;
    let file = |name: &str| secured.dir.join(name).display().to_string();
    let (config, url) = (file("pgvigil.yml"), format!("https://127.0.0.1:{}", secured.port));
    let (ca, token) = (file("ca.crt"), file("root"));
    for (args, code) in [
        (&["check", "--config", &config][..], 0),
        (&["status", "--server", &url, "--ca-file", &ca, "--token-file", &token], 0),
        (&["status", "--json", "--config", &config, "--ca-file", &ca, "--token-file", &token], 0),
        (&["healthcheck", "--config", &config, "--ca-file", &ca], 0),
        (&["healthcheck", "--config", &config], 1),
        (&["status", "--server", &url, "--ca-file", &ca, "--token-file", &file("hook")], 1),
        (&["status", "--server", &url, "--ca-file", &ca, "--token-file", &file("passfile")], 1),
        (&["status", "--server", &url, "--ca-file", &file("client.key"), "--token-file", &token], 1),
    ] {
        let (ended, said) = run(lab, args).await?;
        assert_eq!(ended, Some(code), "{args:?}: {said}");
        shown.push((args.join(" "), said));
    }
    for (name, text, why) in MISTAKES {
        let good = std::fs::read_to_string(secured.dir.join(name)).unwrap();
        secured.write(name, text);
        let (ended, said) = run(lab, &["check", "--config", &config]).await?;
        assert!(ended == Some(2) && said.contains(why), "{name}: {text}: {said}");
        shown.push((format!("check of {text}"), said));
        // To the one that runs, too, whose answer is the log's sentence.
        let answer = secured.ask(&client, "POST", "/-/reload", &bearer(TOKENS[0].1)).await.unwrap();
        assert!(answer.status == 500 && answer.text().contains(why), "{name}: {text}: {}", answer.text());
        shown.push((format!("reload of {text}"), answer.text()));
        secured.write(name, &good);
    }
    shown.push(("the log".to_owned(), secured.process.log()));
    let hidden = hidden(&hash, &[&server_key, &shown_to_servers.key]);
    for (place, text) in &shown {
        for secret in &hidden {
            assert!(!text.contains(secret), "{secret} in {place}:\n{text}");
        }
    }
    println!("{format}: {} places, {} bytes", shown.len(), shown.iter().map(|(_, text)| text.len()).sum::<usize>());
    secured.lab.stop().await;
    Ok(())
}
