//! What goes wrong: each is one clear sentence that says what to do, with the right exit code, and nothing is lost.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pgvigil::assets;
use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, Spawn, Spawned, StandbyOptions, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{exchange, get};
use super::watch::{INTERVAL, Node, SOON, Vigil};

type Outcome = Result<(), LabError>;

/// The program.
pub const PGVIGIL: &str = env!("CARGO_BIN_EXE_pgvigil");

/// Runs pgvigil to its end: exit code and everything it printed.
async fn run(lab: &Lab, args: &[&str], env: &[(&str, &str)]) -> Result<(Option<i32>, String), LabError> {
    let spawn = args.iter().fold(Spawn::new("once", PGVIGIL), |spawn, arg| spawn.arg(*arg));
    let spawn = env.iter().fold(spawn, |spawn, (name, value)| spawn.env(*name, *value));
    let process = lab.spawn(spawn)?;
    let status = process.wait(SOON).await?;
    Ok((status.code(), process.log()))
}

/// A configuration with one node.
pub fn config(lab: &Lab, port: u16, state_dir: &Path, node: &str) -> PathBuf {
    let path = lab.path().join("one.yml");
    let text = format!(
        "listen: 127.0.0.1:{port}\nstate_dir: {}\nsample_interval: {}ms\ncollect_interval: 1s\nlogin_interval: 1s\n\
         clusters:\n  - name: lab\n    nodes:\n      - {node}\n",
        state_dir.display(),
        INTERVAL.as_millis()
    );
    std::fs::write(&path, text).unwrap();
    path
}

pub fn node(server: &Server) -> String {
    format!("{{name: {}, dsn: \"{}\"}}", server.name(), server.dsn(Role::Monitor))
}

pub async fn opened(process: Arc<Spawned>, port: u16) -> Result<Vigil, LabError> {
    wait_until("pgvigil's door", SOON, async || {
        let answer = exchange(port, b"GET /-/ready HTTP/1.0\r\n\r\n").await;
        answer.map(drop).map_err(|error| format!("{error}: {}", process.log_tail(5)))
    })
    .await?;
    Ok(Vigil::of(process, port))
}

/// Lines of the log that contain all of `parts`.
pub fn lines(log: &str, parts: &[&str]) -> Vec<String> {
    log.lines().filter(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned).collect()
}

pub async fn until_logged(vigil: &Vigil, part: &str) -> Outcome {
    wait_until(format!("{part:?} in the log"), SOON, async || {
        let log = vigil.log();
        if log.contains(part) { Ok(()) } else { Err(log) }
    })
    .await
}

/// What is wrong, the configuration, the environment, and what is said; nothing: all is well.
type Refusal<'a> = (&'a str, String, &'a [(&'a str, &'a str)], &'a str);

#[tokio::test]
async fn what_cannot_start_says_one_sentence_and_ends_with_2() -> Outcome {
    let lab = Lab::new()?;
    let file = |name: &str, text: &str| {
        let path = lab.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let node = |dsn: &str| format!("clusters: [{{name: c, nodes: [{{name: a, dsn: \"{dsn}\"}}]}}]\n");
    let good = file("good.yml", &node("host=127.0.0.1 port=1 user=m"));
    let cases: [Refusal<'_>; 11] = [
        ("a key", file("key.yml", "sample_intervall: 1s\n"), &[], "did you mean sample_interval?"),
        ("no YAML", file("yaml.yml", "listen: \"x\n"), &[], "check indentation, quotes and brackets"),
        ("no file", lab.path().join("none.yml").display().to_string(), &[], "does not exist"),
        ("a dsn", file("dsn.yml", &node("host=db1 port=x")), &[], "port is not a port from 1 to 65535"),
        ("an option", file("option.yml", &node("hots=db1")), &[], "did you mean host?"),
        (
            "a dsn_file",
            file("dsn_file.yml", "clusters: [{name: c, nodes: [{name: a, dsn_file: /none}]}]\n"),
            &[],
            "/none does not exist",
        ),
        (
            "two nodes",
            file("two.yml", "clusters: [{name: c, nodes: [{name: a, dsn: host=x}, {name: b, dsn: host=x}]}]\n"),
            &[],
            "each node is a server of its own",
        ),
        (
            "the door's web config",
            file("web.yml", &format!("web_config: none.yml\n{}", node("host=db1 user=m"))),
            &[],
            "none.yml does not exist",
        ),
        (
            "the door's token",
            file("token.yml", &format!("alertmanager: {{bearer_token_file: none}}\n{}", node("host=db1 user=m"))),
            &[],
            "access of alertmanager: token_file ",
        ),
        ("a variable", good.clone(), &[("PGVIGIL_LISTEN", "here")], "listen is not an IP address with a port"),
        ("libpq's variable", good.clone(), &[("PGPORT", "x"), ("PGVIGIL_LISTEN", "127.0.0.1:0")], ""),
    ];
    for (what, path, env, sentence) in &cases {
        for command in ["serve", "check"] {
            if sentence.is_empty() {
                // The dsn has its own port: nothing is wrong.
                assert_eq!(run(&lab, &["check", "--config", path], env).await?.0, Some(0), "{what}");
                continue;
            }
            let (code, said) = run(&lab, &[command, "--config", path], env).await?;
            assert_eq!(code, Some(2), "{what}: {said}");
            assert_eq!(said.lines().count(), 1, "{what}: {said}");
            assert!(said.starts_with("pgvigil: ") && said.contains(sentence), "{what}: {said}");
            assert!(
                env.is_empty() == said.contains(path) || what.starts_with("the door") || *what == "a variable",
                "{what}: {said}"
            );
        }
    }
    for args in [&["serve", "--log", "loud=very=much", "--config", &good][..], &["serve", "--unknown"], &["srve"], &[]]
    {
        assert_eq!(run(&lab, args, &[]).await?.0, Some(2), "{args:?}");
    }
    let (code, said) = run(&lab, &["check", "--config", &good], &[]).await?;
    let runbooks = format!(
        "  {} runbooks\n  runbooks with steps: 1\n  {}\n",
        assets::runbooks().len(),
        crate::runbooks::FAILOVER_GUARDS,
    );
    assert_eq!((code, said), (Some(0), format!("{good} is good:\n  c/a at 127.0.0.1:1, sslmode prefer\n{runbooks}")));
    let (code, said) = run(&lab, &["check"], &[("PGHOST", "db1"), ("PGUSER", "m")]).await?;
    let environment =
        "no config file; libpq's environment names the server:\n  default/db1 at db1:5432, sslmode prefer\n";
    assert_eq!((code, said), (Some(0), format!("{environment}{runbooks}")));
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_ends_with_1_and_says_who_has_it() -> Outcome {
    let lab = Lab::new()?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let state = lab.own_dir("state")?;
    let path = config(&lab, port, &state, "{name: a, dsn: \"host=127.0.0.1 port=1 user=m\"}").display().to_string();
    let (code, said) = run(&lab, &["serve", "--config", &path], &[]).await?;
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains(&format!("cannot listen on 127.0.0.1:{port}: ")) && said.contains("ss -ltnp"), "{said}");
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0, "it touched the state of the one that runs");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn libpqs_environment_alone_is_enough() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    let pgvigil = Spawn::new("pgvigil", PGVIGIL)
        .arg("serve")
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", a.port().to_string())
        .env("PGUSER", Role::Monitor.name())
        .env("PGPASSWORD", Role::Monitor.password())
        .env("PGDATABASE", "postgres")
        .env("PGVIGIL_LISTEN", format!("127.0.0.1:{port}"))
        .env("PGVIGIL_STATE_DIR", &state);
    let vigil = opened(lab.spawn(pgvigil)?, port).await?;
    wait_until("the server watched", SOON, async || {
        let page = get(port, "/metrics", "").await.text();
        let up = "pgvigil_node_up{cluster=\"default\",node=\"127.0.0.1\"} 1";
        if page.contains(up) { Ok(()) } else { Err(vigil.log()) }
    })
    .await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_said_once_until_it_is_right() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let wrong = a.dsn(Role::Monitor).replace(Role::Monitor.password(), "rotated");
    let vigil = Vigil::start(&lab, &[Node::with("a", &wrong, "")]).await?;
    vigil.until_state("a", "auth_failed").await;
    wait_until("three tries", SOON, async || match a.log().matches("password authentication failed").count() {
        3.. => Ok(()),
        tries => Err(format!("{tries} tries")),
    })
    .await?;
    let said = lines(&vigil.log(), &["WARN"]);
    assert_eq!(said.len(), 1, "{said:#?}");
    let parts =
        ["the password is wrong or missing: set it in", "cluster=\"lab\"", "node=\"a\"", "state=\"auth_failed\""];
    assert!(parts.iter().all(|part| said[0].contains(part)), "{said:#?}");
    a.sql("ALTER ROLE pgvigil PASSWORD 'rotated'").await?;
    vigil
        .until_within("a up", 3 * SOON, |page| if page.state("a") == "up" { Ok(()) } else { Err(page.state("a")) })
        .await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_password_file_that_is_rotated_is_read_again() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let file = lab.path().join("a.dsn");
    let write = |password: &str| {
        let new = file.with_extension("new");
        std::fs::write(&new, a.dsn(Role::Monitor).replace(Role::Monitor.password(), password)).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(&new, &file).unwrap();
    };
    write(Role::Monitor.password());
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    let path = config(&lab, port, &state, &format!("{{name: a, dsn_file: {}}}", file.display()));
    let vigil = opened(lab.spawn(Spawn::new("pgvigil", PGVIGIL).arg("serve").arg("--config").arg(path))?, port).await?;
    vigil.until_healthy(&["a"], &[]).await;

    a.sql("ALTER ROLE pgvigil PASSWORD 'new-one'").await?;
    write("new-one");
    let sessions = "FROM pg_stat_activity WHERE usename = 'pgvigil'";
    let oldest = format!("SELECT min(backend_start) {sessions}");
    let before = a.value(&oldest).await?;
    a.query(&format!("SELECT pg_terminate_backend(pid) {sessions}")).await?;
    wait_until("new sessions", SOON, async || match a.value(&oldest).await? {
        Some(now) if Some(&now) > before.as_ref() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    vigil.until_state("a", "up").await;
    vigil
        .until("a login", |page| match page.of_node("node_login_ok", "a") {
            Some(1.0) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    assert_eq!(lines(&vigil.log(), &["password"]), [""; 0], "no try with the old one");

    // Away for a moment: the sessions that stand go on, and the next login says what is wrong.
    std::fs::remove_file(&file).unwrap();
    vigil
        .until("a login refused", |page| match page.of_node("node_login_ok", "a") {
            Some(0.0) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    until_logged(&vigil, "a.dsn does not exist").await?;
    assert_eq!(vigil.page().await.state("a"), "up");
    write("new-one");
    until_logged(&vigil, "logins work again").await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_missing_grant_is_named_once_and_so_is_its_end() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().set("archive_mode", "on")).await?;
    let vigil = Vigil::start(&lab, &[Node::with("a", &a.dsn(Role::Plain), "")]).await?;
    let readings = "collector_duration_seconds_count";
    vigil
        .until("three slow readings and the first", |page| match page.get(readings, "node=\"a\",collector=\"slow\"") {
            Some(4.0..) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    let warnings = lines(&vigil.log(), &["WARN"]);
    let named = lines(
        &vigil.log(),
        &["missing grant: GRANT pg_monitor TO plain", "hidden: pgvigil_", "collector=", "node=\"a\""],
    );
    assert_eq!(warnings, named, "nothing but the grants");
    for collector in ["walsenders", "wal_receiver", "archive_status"] {
        assert_eq!(
            lines(&vigil.log(), &["missing grant", &format!("collector=\"{collector}\"")]).len(),
            1,
            "{named:#?}"
        );
    }
    a.sql("GRANT pg_monitor TO plain").await?;
    until_logged(&vigil, "the role has what pgvigil needs").await?;
    vigil
        .until("what was hidden", |page| match page.of_node("archive_ready_segments", "a") {
            Some(_) => Ok(()),
            None => Err("hidden".to_owned()),
        })
        .await;
    assert_eq!(lines(&vigil.log(), &["WARN"]), named, "nothing new");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_told_from_a_server_that_is_gone() -> Outcome {
    let lab = Lab::new()?;
    let at = |name: &str, host: &str| Node::with(name, &format!("host={host} port=1 user=m dbname=postgres"), "");
    let nodes = [at("nowhere", "no-such-host.invalid"), at("empty", "a..b"), at("here", "localhost")];
    let vigil = Vigil::start(&lab, &nodes).await?;
    for (node, reason) in [("nowhere", "dns"), ("empty", "dns"), ("here", "refused")] {
        vigil
            .until(&format!("{node}: {reason}"), |page| {
                match page.get("node_connect_failure", &format!("node=\"{node}\",reason=\"{reason}\"")) {
                    Some(1.0) => Ok(()),
                    _ => Err(format!("{:?}", page.matching(&["node_connect_failure", node]))),
                }
            })
            .await;
        // Only when each node of the cluster was asked once.
        vigil.until_state(node, "unreachable").await;
        until_logged(&vigil, &format!("node=\"{node}\"")).await?;
        let said = lines(&vigil.log(), &[&format!("node=\"{node}\"")]);
        assert!(said.len() == 1 && said[0].contains(&format!("reason=\"{reason}\"")), "{said:#?}");
    }
    assert!(
        vigil.log().contains("the host name could not be resolved: check the name and the resolver"),
        "{}",
        vigil.log()
    );
    // Looked up and listening nowhere: still no trouble to end.
    assert_eq!(vigil.process().terminate(Duration::from_secs(3)).await?.code(), Some(0));
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn one_server_under_two_names_is_no_split_brain() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let c = lab.standby_of(&a, "c", StandbyOptions::default()).await?;
    a.wait_streaming("c", SOON).await?;
    let again = a.dsn(Role::Monitor).replace("127.0.0.1", "localhost");
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::with("b", &again, ""), Node::of(&c)]).await?;
    vigil.until_healthy(&["a", "b", "c"], &["c"]).await;
    let page = vigil.page().await;
    assert_eq!(page.one_of("cluster_split_brain", ""), "no");
    assert_eq!(page.get("cluster_primaries", ""), Some(1.0));
    assert_eq!(page.get("standby_connected", "standby=\"b\""), Some(0.0));
    page.expect_known("b", "replayed", false).unwrap();
    until_logged(&vigil, "ERROR").await?;
    let said = lines(&vigil.log(), &["ERROR"]);
    assert_eq!(said.len(), 1, "{said:#?}");
    let parts = ["node=\"b\"", "this is the same server as node a", "correct the dsn of one of them"];
    assert!(parts.iter().all(|part| said[0].contains(part)), "{said:#?}");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn an_event_is_a_line_and_what_alternates_is_bounded() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    // Fails in another way each time.
    let fake = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fake_port = fake.local_addr().unwrap().port();
    let (count, tries) = tokio::sync::watch::channel(0_u32);
    let faking = tokio::spawn(async move {
        for number in 1.. {
            let (mut stream, _) = fake.accept().await.unwrap();
            // All of what a client says first, so that closing is no reset.
            let _ = stream.read(&mut [0; 4096]).await;
            if number % 2 == 0 {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
            drop(stream);
            count.send_replace(number);
        }
    });
    let liar =
        Node::with("liar", &format!("host=127.0.0.1 port={fake_port} user=m dbname=postgres sslmode=disable"), "");
    let vigil = Vigil::start(&lab, &[Node::of(&a), liar]).await?;
    vigil.until_healthy(&["a"], &[]).await;

    let lines_of_a = || lines(&vigil.log(), &["node=\"a\""]);
    let known = lines_of_a().len();
    for (what, act, mend) in [
        ("a kill", (|a: &Server| a.kill()) as fn(&Server), None),
        ("a freeze", |a: &Server| a.freeze().unwrap(), Some((|a: &Server| a.thaw().unwrap()) as fn(&Server))),
    ] {
        let known = lines_of_a().len();
        act(&a);
        vigil.until("a down", |page| if page.state("a") == "up" { Err("up".to_owned()) } else { Ok(()) }).await;
        // More than one try of each loop.
        let before = *tries.borrow();
        tries.clone().wait_for(|now| *now > before + 12).await.unwrap();
        let down = lines_of_a().split_off(known);
        match mend {
            Some(mend) => mend(&a),
            None => a.start().await?,
        }
        vigil.until_state("a", "up").await;
        until_logged(&vigil, "state=\"up\"").await?;
        println!("{what}:\n{}", down.join("\n"));
        // A kill shows itself twice: the session is cut, then nobody listens.
        assert!((1..=2).contains(&down.len()), "{what}: {down:#?}");
        for line in &down {
            assert!(["cluster=\"lab\"", "state=\"", "reason=\""].iter().all(|field| line.contains(field)), "{line}");
        }
    }
    wait_until("a read again", SOON, async || {
        let back = lines_of_a().split_off(known).iter().filter(|line| line.contains("state=\"up\"")).count();
        if back == 2 { Ok(()) } else { Err(format!("{back} of 2: {:#?}", lines_of_a())) }
    })
    .await?;

    tries.clone().wait_for(|tries| *tries >= 50).await.unwrap();
    let said = lines(&vigil.log(), &["node=\"liar\""]);
    println!("{} tries, {} lines; the last: {}", *tries.borrow(), said.len(), said.last().unwrap());
    assert!((10..=13).contains(&said.len()), "{said:#?}");
    faking.abort();
    lab.stop().await;
    Ok(())
}
