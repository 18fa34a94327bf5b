//! The backups of a cluster, by what pgBackRest or Barman itself says of them. Pure: their JSON goes in.

mod barman;
mod pgbackrest;

use std::time::Duration;

use crate::clock::Wall;

/// Without its WAL a backup serves nothing. It may come in a little later than the backup's end.
const WAL_WITHIN: Duration = Duration::from_secs(3600);

/// A program that makes backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// pgBackRest.
    Pgbackrest,
    /// Barman.
    Barman,
}

impl Tool {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pgbackrest => "pgBackRest",
            Self::Barman => "Barman",
        }
    }

    /// What makes it say as JSON which backups there are of `name`, its stanza or its server.
    pub fn arguments(self, name: &str) -> Vec<String> {
        match self {
            Self::Pgbackrest => vec![format!("--stanza={name}"), "--output=json".to_owned(), "info".to_owned()],
            Self::Barman => ["-f", "json", "list-backups", name].map(str::to_owned).to_vec(),
        }
    }

    /// Reads what it said.
    pub fn read(self, said: &str, name: &str) -> Result<Vec<Backup>, String> {
        let mut backups = match self {
            Self::Pgbackrest => pgbackrest::read(said, name)?,
            Self::Barman => barman::read(said, name)?,
        };
        backups.sort_by(|one, other| other.label.cmp(&one.label));
        Ok(backups)
    }
}

/// A backup that was made, or begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Backup {
    /// Its name, which begins with its time: later ones sort behind.
    pub label: String,
    /// When it ended; `None`: it did not.
    pub ended: Option<Wall>,
    /// Whether it is of use.
    pub state: State,
    /// Of which system it is, if that is said.
    pub system_identifier: Option<String>,
}

/// Whether a backup is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is whole, and so is its WAL as far as is said.
    Whole,
    /// It is being made.
    UnderWay,
    /// WAL that it needs is not there yet, or no more; the words say which.
    LacksWal(String),
    /// It failed, or is damaged; the words say how.
    Failed(String),
}

/// The backups of a cluster, and what is expected of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Backups {
    /// Who was asked.
    pub tool: Tool,
    /// For which stanza or server.
    pub name: String,
    /// How old the newest may be.
    pub max_age: Duration,
    /// For so long the answer counts.
    pub counts_for: Duration,
    /// The newest first, or why that is not known.
    pub found: Result<Vec<Backup>, String>,
}

/// What is wrong, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What was seen.
    pub seen: String,
    /// What to do.
    pub fix: String,
}

impl Backups {
    /// What is wrong with `found` at `now`, the worst first. `system`: the system identifier of the cluster.
    pub fn fault(&self, found: &[Backup], system: Option<&str>, now: Wall) -> Option<Fault> {
        let Self { tool, name, .. } = self;
        let of = format!("{} {name}", tool.as_str());
        let make = match tool {
            Tool::Pgbackrest => format!("pgbackrest --stanza={name} backup"),
            Tool::Barman => format!("barman backup --wait {name}"),
        };
        let say = |seen: String, fix: String| Some(Fault { seen, fix });
        let of_another =
            |backup: &&Backup| backup.system_identifier.as_deref().zip(system).is_some_and(|(of, system)| of != system);
        if let Some(newest) = found.first().filter(of_another) {
            let seen = format!("the newest backup of {of}, {}, is of another system than this cluster", newest.label);
            return say(seen, format!("correct the name in backup: of the config, or where {of} finds its server"));
        }
        let age = |backup: &Backup| Some(now.seconds_since(backup.ended?));
        let whole = found.iter().find(|backup| backup.state == State::Whole);
        let since = found.iter().take_while(|backup| backup.state != State::Whole);
        for backup in since {
            match &backup.state {
                State::Failed(how) => {
                    let seen = format!("the backup {} of {of} failed: {how}", backup.label);
                    return say(seen, format!("see its log for why, and make one: {make}"));
                }
                State::LacksWal(what) if age(backup).is_none_or(|age| age > WAL_WITHIN.as_secs_f64()) => {
                    let seen = format!("the backup {} of {of} is not complete: {what}", backup.label);
                    return say(seen, format!("see why its WAL is not archived; what is lost is lost: {make}"));
                }
                State::LacksWal(_) | State::UnderWay | State::Whole => {}
            }
        }
        let Some(whole) = whole else {
            let lacking = found.iter().find_map(|backup| match &backup.state {
                State::LacksWal(what) => Some(format!("; {} is not complete: {what}", backup.label)),
                _ => None,
            });
            return say(format!("there is no backup of {of}{}", lacking.unwrap_or_default()), make);
        };
        let hours = |seconds: f64| format!("{:.1} h", seconds / 3600.0);
        match age(whole) {
            Some(age) if age > self.max_age.as_secs_f64() => {
                let most = hours(self.max_age.as_secs_f64());
                let seen =
                    format!("the newest backup of {of}, {}, is {} old; max_age is {most}", whole.label, hours(age));
                say(seen, format!("see why none was made since (cron, a timer, its log): {make}"))
            }
            _ => None,
        }
    }
}

/// A text that may stand in a sentence: one line of at most 200 characters.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests;
