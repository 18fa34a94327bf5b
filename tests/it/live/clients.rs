//! What clients use, as the doctor tries it: connection strings of several servers, a real PgBouncer and a real HAProxy.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use pgvigil::lab::{
    Lab, LabError, Role, Server, ServerOptions, Spawn, Spawned, StandbyOptions, haproxy, pgbouncer, wait_until,
};
use serde_json::Value;

use super::watch::{Node, SOON, Vigil};

type Outcome = Result<(), LabError>;

/// What the doctor says of these clients, once it sees a primary: each answer, and what was seen.
async fn doctor(lab: &Lab, nodes: &[Node], clients: &[String]) -> Result<Vec<(String, String)>, LabError> {
    for _ in 0..6 {
        let said = once(lab, nodes, clients).await?;
        if !said.iter().any(|(_, seen)| seen.contains("no primary is seen") || seen.contains("no answer")) {
            return Ok(said);
        }
    }
    once(lab, nodes, clients).await
}

async fn once(lab: &Lab, nodes: &[Node], clients: &[String]) -> Result<Vec<(String, String)>, LabError> {
    let clients: String = clients.iter().map(|one| format!("      - {{{one}}}\n")).collect();
    let text = Vigil::config_text(lab, 1, nodes, "");
    let config = lab.path().join("pgvigil.yml");
    std::fs::write(&config, text.replace("  - name: lab\n", &format!("  - name: lab\n    clients:\n{clients}")))
        .unwrap();
    let doctor = Spawn::new("doctor", env!("CARGO_BIN_EXE_pgvigil")).arg("doctor").arg("--json");
    let process = lab.spawn(doctor.arg("--config").arg(config))?;
    process.wait(SOON).await?;
    let text = process.log();
    assert!(!text.contains(Role::Monitor.password()), "{text}");
    let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let word = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let all = json[0]["checks"].as_array().unwrap().iter().filter(|line| line["check"] == "client_routing");
    Ok(all.map(|line| (word(line, "answer"), word(line, "seen"))).collect())
}

async fn until_port(port: u16) -> Outcome {
    wait_until("a port", SOON, async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.map(drop).map_err(|error| error.to_string())
    })
    .await
}

/// A PgBouncer with a database for each server, by its name.
async fn pooler(lab: &Lab, servers: [&Server; 2]) -> Result<(u16, Arc<Spawned>), LabError> {
    let port = lab.free_port()?;
    let dir = lab.server_dir("pooler")?;
    let (users, ini) = (lab.path().join("users.txt"), lab.path().join("pooler.ini"));
    let databases: String = servers
        .iter()
        .map(|server| format!("to_{} = host=127.0.0.1 port={} dbname=postgres\n", server.name(), server.port()))
        .collect();
    let text = format!(
        "[databases]\n{databases}[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n",
        users.display()
    );
    let role = Role::Monitor;
    for (path, text) in [(&ini, text), (&users, format!("\"{}\" \"{}\"\n", role.name(), role.password()))] {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let process = lab.spawn(Spawn::new("pgbouncer", pgbouncer()?).as_server().arg(&ini).cwd(&dir))?;
    until_port(port).await?;
    Ok((port, process))
}

#[tokio::test]
async fn what_clients_use_leads_to_the_primary_and_to_nobody_else() -> Outcome {
    let lab = Lab::new()?;
    lab.own_dir("state")?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    a.wait_streaming("b", SOON).await?;
    let (pooler, _pooling) = pooler(&lab, [&a, &b]).await?;
    let (table, writes) = (lab.free_port()?, lab.free_port()?);
    let socket = lab.path().join("haproxy.sock");
    let (pa, pb) = (a.port(), b.port());
    let text = format!(
        "global\n    stats socket {} mode 600 level user\ndefaults\n    mode tcp\n    timeout connect 2s\n    timeout client 9s\n    timeout server 9s\n\
         frontend table\n    mode http\n    bind 127.0.0.1:{table}\n    stats enable\n    stats uri /stats\n    stats auth ops:s3cret\n    stats show-legends\n\
         listen writes\n    bind 127.0.0.1:{writes}\n    server a 127.0.0.1:{pa}\n    server spare 127.0.0.1:{pb} backup\n\
         backend both\n    server a 127.0.0.1:{pa}\n    server other 127.0.0.1:{pb}\n\
         backend nobody\n    server a 127.0.0.1:{pa} disabled\n",
        socket.display()
    );
    let path = lab.path().join("haproxy.cfg");
    std::fs::write(&path, text).unwrap();
    let _proxying = lab.spawn(Spawn::new("haproxy", haproxy()?).arg("-db").arg("-f").arg(path))?;
    until_port(table).await?;
    let nodes = [Node::of(&a), Node::of(&b)];

    let (user, password) = (Role::Monitor.name(), Role::Monitor.password());
    let dsn = |name: &str, ports: &str, more: &str| {
        let hosts = vec!["127.0.0.1"; ports.split(',').count()].join(",");
        format!("name: {name}, dsn: \"host={hosts} port={ports} user={user} password={password} {more}\"")
    };
    let uri = |name: &str, hosts: &str, more: &str| {
        format!("name: {name}, dsn: \"postgresql://{user}:{password}@{hosts}/postgres?{more}\"")
    };
    let by_page = |name: &str, backend: &str| {
        let url = format!("http://ops:s3cret@127.0.0.1:{table}/stats;csv");
        format!("name: {name}, haproxy_stats: \"{url}\", haproxy_backend: {backend}")
    };
    let by_socket = |name: &str, backend: &str| {
        format!("name: {name}, haproxy_stats: \"unix:{}\", haproxy_backend: {backend}", socket.display())
    };

    let well = doctor(
        &lab,
        &nodes,
        &[
            dsn("app", &format!("{pb},{pa}"), "dbname=postgres target_session_attrs=read-write"),
            uri("uri", &format!("127.0.0.1:{pb},127.0.0.1:{pa}"), "target_session_attrs=primary"),
            dsn("gone", &format!("1,{pa}"), "dbname=postgres"),
            dsn("pooler", &pooler.to_string(), "dbname=to_a"),
            dsn("proxy", &writes.to_string(), "dbname=postgres"),
            by_page("page", "writes"),
            by_socket("socket", "writes"),
        ],
    )
    .await?;
    assert!(well.len() == 7 && well.iter().all(|(answer, _)| answer == "ok"), "{well:?}");

    let (at_a, at_b) = (format!("127.0.0.1:{pa}"), format!("127.0.0.1:{pb}"));
    let ill = doctor(
        &lab,
        &nodes,
        &[
            dsn("first", &format!("{pb},{pa}"), "dbname=postgres"),
            uri("second", &format!("{at_a},{at_b}"), "target_session_attrs=any"),
            dsn("nowhere", &pb.to_string(), "dbname=postgres target_session_attrs=read-write"),
            dsn("pooler", &pooler.to_string(), "dbname=to_b"),
            by_page("both", "both"),
            by_socket("nobody", "nobody"),
            by_socket("missing", "absent"),
            format!("name: refused, dsn: \"host=127.0.0.1 port={pa} user={user} password=wrong dbname=postgres\""),
        ],
    )
    .await?;
    let expected = [
        ("failed", format!("first leads to b ({at_b}), and not to a")),
        ("failed", format!("second may lead to b ({at_b}) as well as to a")),
        ("failed", format!("nowhere leads nowhere: {at_b} takes no writes")),
        ("failed", format!("pooler leads to b (127.0.0.1:{pooler}), and not to a")),
        ("failed", "both leads to b as well as to a".to_owned()),
        ("failed", "nobody leads nowhere: no server of backend nobody of HAProxy gets sessions".to_owned()),
        ("unknown", "missing: HAProxy has no backend absent".to_owned()),
    ];
    let said: Vec<_> = ill.iter().map(|(answer, seen)| (answer.as_str(), seen.clone())).collect();
    assert_eq!(said[..expected.len()], expected);
    let (answer, seen) = &ill[expected.len()];
    assert!(answer == "unknown" && seen.contains("refused us") && seen.contains("28P01"), "{seen}");

    // After a promotion all that named one server is wrong, and what names both is right.
    b.sql("SELECT pg_promote()").await?;
    a.stop(pgvigil::lab::StopMode::Fast).await?;
    let after = doctor(
        &lab,
        &nodes,
        &[
            dsn("app", &format!("{pa},{pb}"), "dbname=postgres target_session_attrs=read-write"),
            dsn("old", &pa.to_string(), "dbname=postgres"),
            by_socket("socket", "writes"),
        ],
    )
    .await?;
    assert_eq!(after[0].0, "ok", "{after:?}");
    assert!(after[1].1.starts_with("old leads nowhere"), "{after:?}");
    assert_eq!(after[2].1, "socket leads to a, and not to b");
    lab.stop().await;
    Ok(())
}
