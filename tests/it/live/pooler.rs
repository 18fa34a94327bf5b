//! Through a real PgBouncer in transaction mode: what is read is what is read without it.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use pgvigil::lab::{Lab, LabError, Role, ServerOptions, Spawn, pgbouncer, wait_until};

use super::watch::{Node, Page, SOON, Vigil};

/// The series of a node, without its name.
fn series(page: &Page, node: &str) -> BTreeSet<String> {
    let label = format!("node=\"{node}\"");
    // What is told of the other node, which is never reached, is no matter here.
    let of_node = page.series().keys().filter(|series| series.contains(&label) && !series.contains("unsaid"));
    of_node.map(|series| series.replace(&label, "node")).collect()
}

fn failing(page: &Page, node: &str) -> Vec<String> {
    let all = page.matching(&["pgvigil_collector_success{", &format!("node=\"{node}\"")]);
    assert!(all.len() > 5, "{all:?}");
    all.into_iter().filter(|(_, value)| *value != 1.0).map(|(series, _)| series.to_owned()).collect()
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_takes_nothing_away() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let port = lab.free_port()?;
    let dir = lab.server_dir("pooler")?;
    let (users, ini) = (lab.path().join("users.txt"), lab.path().join("pooler.ini"));
    let role = Role::Monitor;
    let text = format!(
        "[databases]\npostgres = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 1\nverbose = 0\n",
        a.port(),
        users.display()
    );
    for (path, text) in [(&ini, text), (&users, format!("\"{}\" \"{}\"\n", role.name(), role.password()))] {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let pooler = lab.spawn(Spawn::new("pgbouncer", pgbouncer()?).as_server().arg(&ini).cwd(&dir))?;
    let through = a.dsn(role).replace(&format!("port={}", a.port()), &format!("port={port}"));
    wait_until("PgBouncer's port", SOON, async || match tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{error}: {}", pooler.log_tail(5))),
    })
    .await?;

    let nodes = [
        Node::with("pooled", &through, ", pooled: true"),
        Node::with("unsaid", &through.replace("127.0.0.1", "localhost"), ""),
    ];
    let vigil = Vigil::start(&lab, &nodes).await?;
    vigil.until_state("pooled", "up").await;
    // One that does not know of the pooler is told what to do.
    vigil.until_state("unsaid", "rejecting").await;
    let log = vigil.log();
    assert!(log.contains("unsupported startup parameter") && log.contains("pooled: true"), "{log}");
    let good = |node: &'static str| {
        move |page: &Page| match failing(page, node) {
            failing if failing.is_empty() && page.of_node("node_login_ok", node) == Some(1.0) => Ok(()),
            failing => Err(format!("{failing:?}")),
        }
    };
    vigil.until("every collector of the pooled node", good("pooled")).await;
    // One session of the server carries all of ours, and keeps nothing of them.
    let sessions = "SELECT count(*)::text FROM pg_stat_activity WHERE usename = 'pgvigil'";
    assert_eq!(a.value(sessions).await?.as_deref(), Some("1"), "{}", pooler.log());
    let pooled = series(&vigil.page().await, "pooled");
    vigil.process().terminate(SOON).await?;

    let vigil = Vigil::start(&lab, &[Node::with("direct", &a.dsn(role), "")]).await?;
    vigil.until("every collector of the direct node", good("direct")).await;
    let direct = series(&vigil.page().await, "direct");
    let only = |of: &BTreeSet<String>, other: &BTreeSet<String>| of.difference(other).cloned().collect::<Vec<_>>();
    let (less, more) = (only(&direct, &pooled), only(&pooled, &direct));
    assert!(less.is_empty() && more.is_empty(), "without the pooler alone: {less:#?}, with it alone: {more:#?}");
    lab.stop().await;
    Ok(())
}
