//! Talking to the lab's servers: over their socket as superuser, or by a DSN as anybody.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::template::PASSWORD;
use super::{LabError, Server, wait_until};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const RELOAD_WITHIN: Duration = Duration::from_secs(10);

/// A row as text, NULL as `None`.
pub type Row = Vec<Option<String>>;

/// The roles that every server of the lab has. All have a password, random in each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `pgvigil`, member of `pg_monitor`.
    Monitor,
    /// `plain`, may log in and nothing more.
    Plain,
    /// `replicator`, may stream.
    Replicator,
    /// `postgres`, superuser.
    Superuser,
}

impl Role {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Monitor => "pgvigil",
            Self::Plain => "plain",
            Self::Replicator => "replicator",
            Self::Superuser => "postgres",
        }
    }

    /// Its password.
    pub fn password(self) -> &'static str {
        &PASSWORD
    }
}

impl Server {
    /// A DSN for this role, over TCP.
    pub fn dsn(&self, role: Role) -> String {
        Self::dsn_through(self.port(), role)
    }

    /// A DSN for this role that enters by another port, such as that of a [`super::Wire`].
    pub fn dsn_through(port: u16, role: Role) -> String {
        format!("host=127.0.0.1 port={port} user={} password={} dbname=postgres", role.name(), role.password())
    }

    /// Connects as superuser over the socket.
    pub async fn connect(&self) -> Result<Client, LabError> {
        let mut config = Config::new();
        config.host_path(self.socket_dir()).port(self.port()).user(Role::Superuser.name()).dbname("postgres");
        config.application_name("lab");
        self.connect_by(&config).await
    }

    /// Connects as this role over TCP, with its password.
    pub async fn connect_as(&self, role: Role) -> Result<Client, LabError> {
        let config: Config = self.dsn(role).parse().map_err(|error| self.unreachable(&error))?;
        self.connect_by(&config).await
    }

    async fn connect_by(&self, config: &Config) -> Result<Client, LabError> {
        let (client, connection) = match timeout(CONNECT_WITHIN, config.connect(NoTls)).await {
            Ok(connected) => connected.map_err(|error| self.unreachable(&error))?,
            Err(_) => {
                let why = format!("no answer within {} s", CONNECT_WITHIN.as_secs());
                return Err(LabError::Connect { server: self.name().to_owned(), why });
            }
        };
        // Ends with the client, or with the server.
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs statements as superuser, in a connection of their own. Several in one string are one transaction.
    pub async fn sql(&self, statements: &str) -> Result<(), LabError> {
        self.query(statements).await.map(drop)
    }

    /// Runs a query as superuser and returns its rows.
    pub async fn query(&self, statement: &str) -> Result<Vec<Row>, LabError> {
        let client = self.connect().await?;
        self.query_on(&client, statement).await
    }

    /// Runs a query on an open connection and returns its rows.
    pub async fn query_on(&self, client: &Client, statement: &str) -> Result<Vec<Row>, LabError> {
        let refused = |why: String| LabError::Sql { server: self.name().to_owned(), sql: statement.to_owned(), why };
        let messages = match timeout(ANSWER_WITHIN, client.simple_query(statement)).await {
            Ok(answer) => answer.map_err(|error| refused(describe(&error)))?,
            Err(_) => {
                return Err(refused(format!("no answer within {} s", ANSWER_WITHIN.as_secs())));
            }
        };
        let cells = |message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()),
            _ => None,
        };
        Ok(messages.into_iter().filter_map(cells).collect())
    }

    /// The first cell of a query's first row; NULL and no row are both `None`.
    pub async fn value(&self, statement: &str) -> Result<Option<String>, LabError> {
        Ok(self.query(statement).await?.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }

    /// Changes parameters by ALTER SYSTEM, reloads, and waits until the server has read them.
    pub async fn alter(&self, settings: &[(&str, &str)]) -> Result<(), LabError> {
        let client = self.connect().await?;
        for (name, value) in settings {
            let value = value.replace('\'', "''");
            self.query_on(&client, &format!("ALTER SYSTEM SET {name} = '{value}'")).await?;
        }
        self.reload().await
    }

    /// Reloads the configuration and waits until new connections see it.
    pub async fn reload(&self) -> Result<(), LabError> {
        self.write_settings()?;
        let loaded = "SELECT pg_conf_load_time()::text";
        let before = self.value(loaded).await?;
        self.query("SELECT pg_reload_conf()").await?;
        wait_until(format!("server {} to reload", self.name()), RELOAD_WITHIN, async || {
            let now = self.value(loaded).await?;
            if now == before { Err(format!("loaded at {now:?}")) } else { Ok(()) }
        })
        .await
    }

    fn unreachable(&self, error: &tokio_postgres::Error) -> LabError {
        LabError::Connect { server: self.name().to_owned(), why: describe(error) }
    }
}

/// An error with the server's own words and SQLSTATE, which its `Display` leaves out.
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{}: {} (SQLSTATE {})", db.severity(), db.message(), db.code().code()),
        None => std::error::Error::source(error).map_or_else(|| error.to_string(), |why| format!("{error}: {why}")),
    }
}
