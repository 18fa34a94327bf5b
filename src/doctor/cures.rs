//! What mends a mistake, as it is printed: whatever can be, so that it can be copied as it stands.

use super::finding::{Act, Cure};
use super::patient::Patient;

/// Something to do that is on no node.
pub fn elsewhere(words: &str) -> Vec<Cure> {
    vec![Cure { node: None, database: None, act: Act::Words(words.to_owned()) }]
}

/// An identifier as a statement has it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A word of a connection string.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:/".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
    }
}

impl Patient<'_> {
    fn cure(&self, node: usize, act: Act) -> Cure {
        Cure { node: Some(self.name(node).to_owned()), database: None, act }
    }

    /// A statement on a node, as superuser.
    pub fn sql(&self, node: usize, statement: impl Into<String>) -> Cure {
        self.cure(node, Act::Sql(statement.into()))
    }

    /// A statement in one database of a node, as superuser.
    pub fn sql_in(&self, node: usize, database: &str, statement: impl Into<String>) -> Cure {
        Cure { database: Some(database.to_owned()), ..self.sql(node, statement) }
    }

    /// Sets a parameter and loads it.
    pub fn set(&self, node: usize, name: &str, value: &str) -> Vec<Cure> {
        vec![self.alter(node, name, value), self.load(node)]
    }

    /// Sets a parameter that a restart alone brings into force.
    pub fn set_and_restart(&self, node: usize, name: &str, value: &str) -> Vec<Cure> {
        vec![self.alter(node, name, value), self.restart(node)]
    }

    /// Sets a parameter. An empty value is one too: it holds against one in another file, as a reset does not.
    pub fn alter(&self, node: usize, name: &str, value: &str) -> Cure {
        self.sql(node, format!("ALTER SYSTEM SET {name} = {}", literal(value)))
    }

    /// Loads what was set.
    pub fn load(&self, node: usize) -> Cure {
        self.sql(node, "SELECT pg_reload_conf()")
    }

    /// A restart of PostgreSQL on a node.
    pub fn restart(&self, node: usize) -> Cure {
        self.cure(node, Act::Restart("PostgreSQL"))
    }

    /// Raises a parameter that must not be lower on a standby than on its primary: on standbys first.
    pub fn raise(&self, node: usize, name: &str, value: f64) -> Vec<Cure> {
        let lower = |standby: &usize| self.number(*standby, name).is_some_and(|own| own < value);
        let first =
            self.standbys().filter(|standby| self.primary() == Some(node) && *standby != node && lower(standby));
        first.chain([node]).flat_map(|node| self.set_and_restart(node, name, &value.to_string())).collect()
    }

    /// Gives words of `primary_conninfo` other values. The rest of it, with the password, never leaves the server: of a word that stands
    /// twice the last one counts. `None`: it is not known, or a URI.
    pub fn reconnect(&self, node: usize, words: &[(&str, &str)]) -> Option<Vec<Cure>> {
        self.conninfo(node).filter(|conninfo| conninfo.is_set && !conninfo.is_uri)?;
        let words: String = words.iter().map(|(key, value)| format!(" {key}={}", word(value))).collect();
        let line = format!(
            "SELECT format('ALTER SYSTEM SET primary_conninfo = %L', current_setting('primary_conninfo') || {}) \\gexec",
            literal(&words)
        );
        Some(vec![self.cure(node, Act::Psql(line)), self.load(node)])
    }

    /// Lets the walreceiver of a node connect to another one, which gets the slot that it names. `None`: where that is is not known, or how this one connects.
    pub fn follow(&self, node: usize, upstream: usize) -> Option<Vec<Cure>> {
        let address = self.evidence.layout.members[upstream].address.as_deref()?;
        let (host, port) = address.rsplit_once(':')?;
        let mut words = vec![("host", host.trim_matches(['[', ']'])), ("port", port)];
        if self.conninfo(node)?.hostaddr.is_some() {
            // It would win over the host.
            words.push(("hostaddr", ""));
        }
        let mut cures = self.reconnect(node, &words)?;
        let slot = self.chart(node).and_then(|chart| chart.primary_slot_name.as_deref());
        let lacks = |slot: &&str| self.snapshot(upstream).slots().iter().all(|known| known.name != *slot);
        if let Some(slot) = slot.filter(lacks) {
            cures.insert(0, self.make_slot(upstream, slot));
        }
        Some(cures)
    }

    /// Makes a physical slot that keeps WAL from now on.
    pub fn make_slot(&self, node: usize, name: &str) -> Cure {
        self.sql(node, format!("SELECT pg_create_physical_replication_slot({}, true)", literal(name)))
    }

    /// Drops a slot.
    pub fn drop_slot(&self, node: usize, name: &str) -> Cure {
        self.sql(node, format!("SELECT pg_drop_replication_slot({})", literal(name)))
    }

    /// A line at the top of `pg_hba.conf`, where the first one that fits decides.
    pub fn hba_line(&self, node: usize, line: String) -> Cure {
        let known = self.chart(node).and_then(|chart| chart.hba_file.clone());
        self.cure(node, Act::Line { file: known.unwrap_or_else(|| "pg_hba.conf".to_owned()), line })
    }

    /// Something that no statement does, on a node.
    pub fn words(&self, node: usize, words: impl Into<String>) -> Vec<Cure> {
        vec![self.cure(node, Act::Words(words.into()))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_connection_string_are_quoted_where_they_must_be() {
        for (text, expected) in
            [("10.0.0.5", "10.0.0.5"), ("fd00::2", "fd00::2"), ("", "''"), ("a b", "'a b'"), ("o'\\", "'o\\'\\\\'")]
        {
            assert_eq!(word(text), expected);
        }
        assert_eq!((quoted("a\"b").as_str(), literal("o'b").as_str()), ("\"a\"\"b\"", "'o''b'"));
    }
}
