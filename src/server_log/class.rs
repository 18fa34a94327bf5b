//! The one table of what is looked for in a server's log. `docs/server-log.md` shows it to people.
//!
//! Messages are told by their words, since few of them have a SQLSTATE of their own. The words are those of the source, which
//! `lc_messages` translates: what is written in another language is not understood, and that is said.

/// What a class is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A standby does not get its WAL, or cannot go on with it.
    Replication,
    /// WAL does not get into the archive.
    Archive,
    /// The server itself.
    Server,
}

/// One kind of event.
#[derive(Debug)]
pub struct Class {
    /// The value of the label `class`.
    pub name: &'static str,
    /// What it is about.
    pub about: About,
    /// The words: all parts of one of these, in this order.
    pub words: &'static [&'static [&'static str]],
    /// What it means, in a sentence.
    pub meaning: &'static str,
    /// What mends it, in a sentence.
    pub fix: &'static str,
}

impl Class {
    fn matches(&self, message: &str) -> bool {
        self.words.iter().any(|parts| {
            let mut rest = Some(message);
            for part in *parts {
                rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, after)| after);
            }
            rest.is_some()
        })
    }
}

/// The class of a message: its number in [`CLASSES`].
pub fn of(message: &str) -> Option<usize> {
    CLASSES.iter().position(|class| class.matches(message))
}

/// The class of this name: its number in [`CLASSES`].
pub fn named(name: &str) -> Option<usize> {
    CLASSES.iter().position(|class| class.name == name)
}

/// What is looked for. The first that matches counts: a standby's message ends in its primary's, which says more.
pub const CLASSES: &[Class] = &[
    Class {
        name: "wal_removed",
        about: About::Replication,
        words: &[&["requested WAL segment ", " has already been removed"]],
        meaning: "A standby asks for WAL that its upstream has removed.",
        fix: "Where the archive still has it, set restore_command on the standby; else make the standby anew with pg_basebackup. Give it a slot, or raise wal_keep_size.",
    },
    Class {
        name: "hba",
        about: About::Replication,
        words: &[&["no pg_hba.conf entry for replication connection"], &["pg_hba.conf rejects replication connection"]],
        meaning: "pg_hba.conf lets nobody replicate from there as that user.",
        fix: "Add the line host replication <role> <address>/32 scram-sha-256 to pg_hba.conf of the server that refuses, above any reject, and reload it.",
    },
    Class {
        name: "password",
        about: About::Replication,
        words: &[
            &["password authentication failed for user"],
            &["no password supplied"],
            &["empty password returned by client"],
        ],
        meaning: "A login was refused for its password.",
        fix: "If it is the standbys' role: ALTER ROLE … PASSWORD on the primary, and the same in primary_conninfo or its passfile on the standby.",
    },
    Class {
        name: "role",
        about: About::Replication,
        words: &[
            &["must be superuser or replication role to start walsender"],
            &["permission denied to start WAL sender"],
            &["role \"", "\" is not permitted to log in"],
            &["role \"", "\" does not exist"],
        ],
        meaning: "The role of a login does not exist, may not log in, or may not replicate.",
        fix: "ALTER ROLE … LOGIN REPLICATION on the primary, or correct user in primary_conninfo on the standby.",
    },
    Class {
        name: "timeline",
        about: About::Replication,
        words: &[
            &["requested timeline ", " is not a child of this server's history"],
            &["requested starting point ", " is not in this server's history"],
            &["requested timeline ", " is not in this server's history"],
            &["requested timeline ", " does not contain minimum recovery point"],
            &["new timeline ", " is not a child of database system timeline "],
            &["new timeline ", " forked off current database system timeline "],
            &["highest timeline ", " of the primary is behind recovery timeline "],
        ],
        meaning: "A standby has WAL that its upstream's timeline does not have: it cannot follow.",
        fix: "Rewind it with pg_rewind from the present primary, or make it anew with pg_basebackup; recovery_target_timeline must be latest.",
    },
    Class {
        name: "foreign_system",
        about: About::Replication,
        words: &[
            &["database system identifier differs between the primary and standby"],
            &["WAL file is from different database system"],
        ],
        meaning: "The standby was not made from this primary: they are two systems.",
        fix: "Correct host and port in primary_conninfo, or restore_command; or make the standby anew from this primary.",
    },
    Class {
        name: "slot_missing",
        about: About::Replication,
        words: &[&["replication slot \"", "\" does not exist"]],
        meaning: "A standby names a slot that its upstream does not have.",
        fix: "SELECT pg_create_physical_replication_slot(…) on the upstream, or correct primary_slot_name.",
    },
    Class {
        name: "slot_taken",
        about: About::Replication,
        words: &[&["replication slot \"", "\" is active for PID "]],
        meaning: "Two want the same slot.",
        fix: "Give each standby a slot of its own: primary_slot_name.",
    },
    Class {
        name: "slot_lost",
        about: About::Replication,
        words: &[
            &["invalidating obsolete replication slot \""],
            &["invalidating slot \"", "\" because its restart_lsn "],
            &["to release replication slot \""],
            &["can no longer get changes from replication slot \""],
            &["can no longer access replication slot \""],
            &["cannot read from replication slot \""],
        ],
        meaning: "A slot was given up: its consumer fell too far behind.",
        fix: "Drop and create it again, and make its consumer anew; raise max_slot_wal_keep_size.",
    },
    Class {
        name: "slots_full",
        about: About::Replication,
        words: &[&["all replication slots are in use"]],
        meaning: "There are as many slots as max_replication_slots allows.",
        fix: "Drop slots that nobody uses, or raise max_replication_slots and restart.",
    },
    Class {
        name: "walsenders_full",
        about: About::Replication,
        words: &[&["number of requested standby connections exceeds ", "max_wal_senders"]],
        meaning: "There are as many walsenders as max_wal_senders allows.",
        fix: "End what should not stream, or raise max_wal_senders and restart, standbys first.",
    },
    Class {
        name: "connections_full",
        about: About::Server,
        words: &[
            &["sorry, too many clients already"],
            &["remaining connection slots are reserved for "],
            &["too many connections for role "],
            &["too many connections for database "],
        ],
        meaning: "The server has no connection left.",
        fix: "Find who holds them in pg_stat_activity; put a pooler in front, or raise max_connections.",
    },
    Class {
        name: "replication_timeout",
        about: About::Replication,
        words: &[
            &["terminating walsender process due to replication timeout"],
            &["terminating walreceiver due to timeout"],
        ],
        meaning: "A stream was cut because the other side was silent for too long.",
        fix: "Look at the network and at the load of both machines; wal_sender_timeout and wal_receiver_timeout say how long is too long.",
    },
    Class {
        name: "primary_unreachable",
        about: About::Replication,
        words: &[&["could not connect to the primary server"]],
        meaning: "A standby cannot connect to its upstream.",
        fix: "Do as the rest of the message says: start the upstream, open the way to it, or correct primary_conninfo.",
    },
    Class {
        name: "stream_broken",
        about: About::Replication,
        words: &[
            &["could not receive data from WAL stream"],
            &["could not send data to WAL stream"],
            &["could not start WAL streaming"],
            &["could not send data to client"],
        ],
        meaning: "A stream of WAL broke off or could not begin.",
        fix: "Do as the rest of the message says.",
    },
    Class {
        name: "settings_lower",
        about: About::Replication,
        words: &[
            &["hot standby is not possible because of insufficient parameter settings"],
            // Before 14.
            &["hot standby is not possible because ", " is a lower setting than on "],
            &["recovery aborted because of insufficient parameter settings"],
        ],
        meaning: "A setting of the standby is lower than its primary's, and replay stops.",
        fix: "Raise it on the standby to the primary's value and restart the standby.",
    },
    Class {
        name: "recovery_paused",
        about: About::Replication,
        words: &[&["recovery has paused"], &["pausing at the end of recovery"]],
        meaning: "Replay on a standby was paused.",
        fix: "SELECT pg_wal_replay_resume() on the standby; if its settings paused it, raise those and restart.",
    },
    Class {
        name: "conflict",
        about: About::Replication,
        words: &[&["due to conflict with recovery"]],
        meaning: "A query on a standby was cancelled because replay needed what it held.",
        fix: "Set hot_standby_feedback = on, or raise max_standby_streaming_delay.",
    },
    Class {
        name: "restore_failed",
        about: About::Archive,
        words: &[&["could not restore file \"", "\" from archive"]],
        meaning: "restore_command was ended by a signal, or could not be run.",
        fix: "Run restore_command by hand as the server's user.",
    },
    Class {
        name: "archive_failed",
        about: About::Archive,
        words: &[
            &["archive command failed with exit code "],
            &["archive command was terminated by "],
            &["archive command exited with unrecognized status"],
            // That it "failed too many times" is said after one of these, and says less.
        ],
        meaning: "archive_command did not archive a segment.",
        fix: "Run it by hand as the server's user; its own words, where it has any, stand before the server's.",
    },
    Class {
        name: "disk_full",
        about: About::Server,
        words: &[&["No space left on device"], &["Disk quota exceeded"]],
        meaning: "A volume is full.",
        fix: "Make room; never remove files of pg_wal by hand.",
    },
    Class {
        name: "damage",
        about: About::Server,
        words: &[
            &["page verification failed, calculated checksum "],
            &["invalid page in block "],
            &["invalid checkpoint record"],
            &["could not locate a valid checkpoint record"],
            &["could not locate required checkpoint record"],
        ],
        meaning: "A page or the WAL does not bear out its checksum.",
        fix: "Take this server out of use, keep its files, and restore from a standby or a backup.",
    },
    Class {
        name: "crash",
        about: About::Server,
        words: &[
            &[" was terminated by signal "],
            &["terminating any other active server processes"],
            &["database system was not properly shut down"],
        ],
        meaning: "A process of the server crashed, or the server was not stopped in order.",
        fix: "Read the log before it: who was killed, by what (the kernel's out-of-memory killer says so in its own log).",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn name(message: &str) -> Option<&'static str> {
        of(message).map(|class| CLASSES[class].name)
    }

    #[test]
    fn the_primarys_own_words_count_before_the_standbys() {
        let refused =
            "could not connect to the primary server: connection to server at \"10.0.0.1\", port 5432 failed: FATAL:  ";
        let hba =
            "no pg_hba.conf entry for replication connection from host \"10.0.0.2\", user \"repl\", no encryption";
        assert_eq!(name(&format!("{refused}{hba}")), Some("hba"));
        assert_eq!(name(&format!("{refused}password authentication failed for user \"repl\"")), Some("password"));
        assert_eq!(name(&format!("{refused}Connection refused")), Some("primary_unreachable"));
        let stream = "could not receive data from WAL stream: ";
        let removed = "ERROR:  requested WAL segment 000000010000000000000003 has already been removed";
        assert_eq!(name(&format!("{stream}{removed}")), Some("wal_removed"));
        assert_eq!(name(&format!("{stream}server closed the connection unexpectedly")), Some("stream_broken"));
        assert_eq!(
            name("number of requested standby connections exceeds \"max_wal_senders\" (currently 1)"),
            Some("walsenders_full")
        );
        for none in ["checkpoint starting: time", "restored log file \"0001\" from archive", "", "role dancing"] {
            assert_eq!(name(none), None, "{none}");
        }
    }

    #[test]
    fn each_class_has_a_name_and_sentences_of_its_own() {
        let names: BTreeSet<_> = CLASSES.iter().map(|class| class.name).collect();
        assert_eq!(names.len(), CLASSES.len());
        for class in CLASSES {
            assert!(
                class.meaning.ends_with('.') && class.fix.ends_with('.') && !class.words.is_empty(),
                "{}",
                class.name
            );
            assert_eq!(named(class.name).map(|at| CLASSES[at].name), Some(class.name));
        }
    }

    #[test]
    fn the_documentation_has_the_table() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/server-log.md");
        let rows = CLASSES.iter().map(|class| format!("| `{}` | {} | {} |\n", class.name, class.meaning, class.fix));
        let table = format!("| class | what it means | what mends it |\n|---|---|---|\n{}", rows.collect::<String>());
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let (before, after) = text.split_once("| class |").expect("a table");
        let after = after.split_once("\n\n").map_or("", |(_, after)| after);
        let wanted = format!("{before}{table}\n{after}");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &wanted).unwrap();
        }
        assert!(std::fs::read_to_string(&path).unwrap() == wanted, "docs/server-log.md: UPDATE=1 writes its table");
    }
}
