use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use tokio_postgres::config::Host;

use super::*;

fn no_env(_: &str) -> Option<String> {
    None
}

fn parse_dsn(dsn: &str) -> Result<Target, DsnError> {
    Target::parse(dsn, &no_env, &Trail::default())
}

fn password(target: &Target) -> Option<&str> {
    target.config.get_password().map(|password| std::str::from_utf8(password).unwrap())
}

/// Each row: the string, then host:port, user, database and password as psql would take them.
#[test]
fn both_forms_mean_what_they_mean_to_libpq() {
    for (dsn, address, user, dbname, secret) in [
        ("host=db1 user=m", "db1:5432", "m", "m", None),
        ("host=db1 port=5433 user=m dbname=postgres", "db1:5433", "m", "postgres", None),
        ("  host = db1\tuser = 'm' password = 'a \\'b\\\\'\n", "db1:5432", "m", "m", Some("a 'b\\")),
        ("host=db1 user=m password=a\\ b", "db1:5432", "m", "m", Some("a b")),
        ("host=db1 user=x user=m", "db1:5432", "m", "m", None),
        ("host=db1 user=m password='' port=''", "db1:5432", "m", "m", None),
        ("hostaddr=10.0.0.1 user=m", "10.0.0.1:5432", "m", "m", None),
        ("host=db1 hostaddr=10.0.0.1 user=m", "db1:5432", "m", "m", None),
        ("host=::1 user=m", "[::1]:5432", "m", "m", None),
        ("host=/run/pg user=m port=6000", "/run/pg:6000", "m", "m", None),
        ("postgresql://m@db1", "db1:5432", "m", "m", None),
        ("postgres://m:s%40c%3Aret@db1:5433/postgres", "db1:5433", "m", "postgres", Some("s@c:ret")),
        ("postgres://m:a:b@db1", "db1:5432", "m", "m", Some("a:b")),
        ("postgres://m@[2001:db8::1]:5433/postgres", "[2001:db8::1]:5433", "m", "postgres", None),
        ("postgres://m@%2Frun%2Fpg/postgres", "/run/pg:5432", "m", "postgres", None),
        ("postgres:///postgres?host=/run/pg&user=m", "/run/pg:5432", "m", "postgres", None),
        ("postgres://db1?user=m&sslmode=require", "db1:5432", "m", "m", None),
        ("postgres://m@db1?ssl=true", "db1:5432", "m", "m", None),
        ("postgres://m:se?cret@db1", "db1:5432", "m", "m", Some("se?cret")),
        ("postgres://m@db1/x@y", "db1:5432", "m", "x@y", None),
        ("host=db1 user=m application_name=x fallback_application_name=y", "db1:5432", "m", "m", None),
        ("host=db1 user=m client_encoding=UTF8 target_session_attrs=any gssencmode=prefer", "db1:5432", "m", "m", None),
    ] {
        let target = parse_dsn(dsn).unwrap_or_else(|error| panic!("{dsn}: {error}"));
        assert_eq!(target.address, address, "{dsn}");
        assert_eq!(target.config.get_user(), Some(user), "{dsn}");
        assert_eq!(target.config.get_dbname(), Some(dbname), "{dsn}");
        assert_eq!(password(&target), secret, "{dsn}");
        assert_eq!(target.config.get_application_name(), Some("pgvigil"), "{dsn}");
    }
}

#[test]
fn refusals_say_what_to_do_and_show_no_value() {
    for (dsn, error) in [
        ("hots=db1", "\"hots\" is not a connection option: did you mean host?"),
        ("host=db1 nonsense=1", "\"nonsense\" is not a connection option"),
        (
            "password=my secret=1 host=db1",
            "what stands at character 13 is not a connection option: a value with a space in it needs single quotes",
        ),
        (
            "password=my secret host=db1",
            "no = follows the word that ends at character 18: options are written name=value, values with a space in single quotes",
        ),
        ("user=m password='secret", "the single quote at character 17 is not closed"),
        (
            "host=a,b",
            "host is not available: it names several servers, and pgvigil watches each by itself: give each its own node",
        ),
        (
            "port=1,2",
            "port is not available: it names several servers, and pgvigil watches each by itself: give each its own node",
        ),
        (
            "postgres://a,b/x",
            "host is not available: it names several servers, and pgvigil watches each by itself: give each its own node",
        ),
        ("host=a port=0", "port is not a port from 1 to 65535"),
        ("host=a port=65536", "port is not a port from 1 to 65535"),
        ("host=a port=-1", "port is not a port from 1 to 65535"),
        ("host=a port=abc", "port is not a port from 1 to 65535"),
        ("postgres://m:se/cret@db1", "the URI is wrong: an @, / or ? in the password is written %40, %2F or %3F"),
        ("postgres://m:se@cret@db1", "the URI is wrong: an @, / or ? in the password is written %40, %2F or %3F"),
        (
            "postgres://m:100%@db1",
            "the URI is wrong: a % is not followed by the two digits of a byte; a plain % is written %25",
        ),
        ("postgres://m@[::1", "the URI is wrong: [ is not closed"),
        ("postgres://m@[::1]5432", "the URI is wrong: only :port may follow ]"),
        ("hostaddr=db1", "hostaddr is not an IP address"),
        ("host='db1 user=m'", "host is not a host name, an IP address or the absolute directory of a socket"),
        ("host=a sslmode=full", "sslmode is not disable, allow, prefer, require, verify-ca or verify-full"),
        (
            "host=a sslmode=verify-full",
            "sslrootcert is not set, and sslmode verifies against it: name the file of the certificate authority",
        ),
        (
            "host=a sslmode=require sslrootcert=system",
            "sslrootcert=system with sslmode=require is not available: anybody can have a certificate of an authority that the system trusts: write sslmode=verify-full",
        ),
        ("host=a sslmode=''", "sslmode is not disable, allow, prefer, require, verify-ca or verify-full"),
        (
            "host=a ssl_max_protocol_version=TLSv1.1 ssl_min_protocol_version=TLSv1",
            "ssl_max_protocol_version is not available: TLS before 1.2 is not safe, and pgvigil does not speak it",
        ),
        ("hostaddr=::1 sslmode=verify-full sslrootcert=x", "host is not set, and sslmode=verify-full compares it"),
        ("host=a sslcert=x", "sslkey is not set, and sslcert needs it"),
        ("host=a connect_timeout=soon", "connect_timeout is not a whole number of seconds"),
        ("host=a keepalives_idle=1.5", "keepalives_idle is not a whole number of seconds"),
        ("host=a channel_binding=yes", "channel_binding is not disable, prefer or require"),
        ("service=db", "no service \"db\" is in any file (there is none): add a section [db], or name another service"),
        (
            "host=a target_session_attrs=read-write",
            "target_session_attrs is not available: pgvigil watches each server by itself: give each its own node",
        ),
        ("host=a gssencmode=require", "gssencmode is not available: pgvigil does not speak Kerberos"),
        ("host=a replication=true", "replication is not available: pgvigil reads by ordinary sessions"),
    ] {
        assert_eq!(parse_dsn(dsn).err().map(|error| error.to_string()).as_deref(), Some(error), "{dsn}");
    }
}

#[test]
fn the_environment_fills_in_what_is_left_open() {
    let env = |name: &str| {
        let value = match name {
            "PGHOST" => "db1",
            "PGPORT" => "6000",
            "PGUSER" => "m",
            "PGPASSWORD" => "secret",
            "PGDATABASE" => "postgres",
            "PGSSLMODE" => "require",
            "PGAPPNAME" => "other",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let target = Target::parse("", &env, &Trail::default()).unwrap();
    assert_eq!((target.address.as_str(), target.tls.mode), ("db1:6000", SslMode::Require));
    assert_eq!((target.config.get_user(), target.config.get_dbname()), (Some("m"), Some("postgres")));
    assert_eq!((password(&target), target.config.get_application_name()), (Some("secret"), Some("pgvigil")));
    let target = Target::parse("host=/run/pg user=other password=own", &env, &Trail::default()).unwrap();
    assert_eq!((target.address.as_str(), password(&target)), ("/run/pg:6000", Some("own")));
    assert_eq!(target.tls.mode, SslMode::Disable, "a unix socket has no TLS");

    let wrong = |name: &'static str, value: &'static str| {
        let env = move |asked: &str| (asked == name).then(|| value.to_owned());
        Target::parse("", &env, &Trail::default()).map(drop).unwrap_err().to_string()
    };
    assert_eq!(wrong("PGPORT", "abc"), "PGPORT is not a port from 1 to 65535");
    assert_eq!(
        wrong("PGSSLMODE", "full"),
        "PGSSLMODE is not disable, allow, prefer, require, verify-ca or verify-full"
    );
    assert!(wrong("PGSERVICE", "x").starts_with("no service \"x\" is in "));
}

#[test]
fn without_anything_it_is_the_local_socket_and_the_user_of_this_process() {
    let target = parse_dsn("").unwrap();
    assert!(matches!(target.config.get_hosts(), [Host::Unix(_)]), "{target:?}");
    assert_eq!(target.config.get_user().map(str::to_owned), whoami::username().ok());
    assert_eq!(target.config.get_dbname(), target.config.get_user());
}

#[test]
fn a_password_file_counts_unless_others_may_read_it() {
    let home = std::env::temp_dir().join(format!("pgvigil-home-{}", std::process::id()));
    std::fs::create_dir_all(&home).unwrap();
    let passfile = home.join(".pgpass");
    std::fs::write(&passfile, "db1:5432:*:m:from-file\nlocalhost:*:*:m:local\n").unwrap();
    let home_text = home.to_str().unwrap().to_owned();
    let env = |name: &str| (name == "HOME").then(|| home_text.clone());
    let parse = |dsn: &str| Target::parse(dsn, &env, &Trail::default()).unwrap();

    std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (found, given) = (parse("host=db1 user=m"), parse("host=db1 user=m password=own"));
    let (socket, other) = (parse("host=/tmp user=m"), parse("host=db2 user=m"));
    std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(0o640)).unwrap();
    let open = parse("host=db1 user=m");
    std::fs::remove_dir_all(&home).unwrap();

    assert_eq!((password(&found), password(&given)), (Some("from-file"), Some("own")));
    assert_eq!((password(&socket), password(&other)), (Some("local"), None));
    assert_eq!(password(&open), None);
    assert!(open.notes[0].ends_with("its group or others may access it; chmod it to 0600"), "{:?}", open.notes);
}

#[test]
fn a_string_of_clients_is_each_server_that_it_names() {
    let of = |text: &str| Target::of_clients(text, &|_| None, &Trail::default());
    let addresses = |text: &str| {
        let (wanted, targets) = of(text).unwrap();
        assert!(targets.iter().all(|target| target.pooled && password(target) == Some("p")), "{text}");
        (wanted, targets.into_iter().map(|target| target.address).collect::<Vec<_>>().join(" "))
    };
    for (text, wanted, each) in [
        ("postgresql://m:p@a,b/x?target_session_attrs=read-write", Wanted::ReadWrite, "a:5432 b:5432"),
        ("postgresql://m:p@a:1,b:2/x?load_balance_hosts=random", Wanted::Any, "a:1 b:2"),
        ("postgresql://m:p@[::1]:1,b,10.0.0.2:3/x", Wanted::Any, "[::1]:1 b:5432 10.0.0.2:3"),
        ("host=a,b port=7 user=m password=p target_session_attrs=primary", Wanted::Primary, "a:7 b:7"),
        ("host=a,b port=7, user=m password=p", Wanted::Any, "a:7 b:5432"),
        ("hostaddr=10.0.0.1,10.0.0.2 user=m password=p", Wanted::Any, "10.0.0.1:5432 10.0.0.2:5432"),
        ("host=a user=m password=p target_session_attrs=''", Wanted::Any, "a:5432"),
    ] {
        assert_eq!(addresses(text), (wanted, each.to_owned()), "{text}");
    }
    for (text, why) in [
        ("host=a,b,c port=1,2 user=m", "as many as there are servers"),
        ("host=a,b hostaddr=10.0.0.1 user=m", "as many as there are servers"),
        ("host=a user=m target_session_attrs=standby", "for clients that only read"),
    ] {
        let error = of(text).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    // A node is one server.
    assert!(parse_dsn("postgresql://m@a:1,b:2/x").is_err() && parse_dsn("host=a,b user=m").is_err());
}

#[test]
fn nothing_shows_the_password() {
    let target = parse_dsn("postgres://m:hunter2@db1/postgres").unwrap();
    assert!(!format!("{target:?} {:?} {}", target.config, target.address).contains("hunter2"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text: String, keyword in "(host|password|port|sslmode|user)", value: String) {
        let _ = parse_dsn(&text);
        let _ = parse_dsn(&format!("postgres://{text}"));
        let _ = parse_dsn(&format!("{keyword}={value}"));
    }

    #[test]
    fn errors_never_show_a_quoted_password(password in "[a-z]{9}", broken in "(port=x|hots=1|host=a,b|sslmode=no|=|a b|')") {
        let quoted = format!("host=db1 password='{password}' {broken}");
        let uri = format!("postgres://m:{password}@db1?{broken}");
        for dsn in [quoted, uri] {
            if let Err(error) = parse_dsn(&dsn) {
                let shown = format!("{error} {error:?}");
                prop_assert!(!shown.contains(&password));
            }
        }
    }
}
