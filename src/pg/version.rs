//! Server versions, and statements that differ between them.

use std::fmt;

/// What is said to somebody whose server is too old.
pub const SUPPORTED: &str = "pgvigil reads 13 to 18, and 10 to 12 as far as their views go";

/// `server_version_num`, for example 160014 for 16.14.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerVersion(pub u32);

impl ServerVersion {
    /// The major version, for example 16.
    pub const fn major(self) -> u32 {
        self.0 / 10_000
    }

    /// Whether there is anything to read: the functions of WAL positions got their present names in 10.
    pub const fn is_supported(self) -> bool {
        self.major() >= 10
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.0 % 10_000)
    }
}

/// One statement in variants, each named by the lowest major version that it serves, in ascending order.
/// All variants return the same columns (NULL where a server has none), so that decoding has one path.
#[derive(Debug)]
pub struct VersionedSql(pub &'static [(u32, &'static str)]);

impl VersionedSql {
    /// The variant with the highest lowest-major that `version` reaches; `None` if the server is too old for all.
    pub fn pick(&self, version: ServerVersion) -> Option<&'static str> {
        self.0.iter().rev().find(|(lowest, _)| version.major() >= *lowest).map(|(_, sql)| *sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_the_newest_variant_that_the_server_reaches() {
        let sql = VersionedSql(&[(10, "ten"), (14, "fourteen"), (17, "seventeen")]);
        assert_eq!(sql.pick(ServerVersion(90_624)), None);
        assert_eq!(sql.pick(ServerVersion(130_023)), Some("ten"));
        assert_eq!(sql.pick(ServerVersion(140_000)), Some("fourteen"));
        assert_eq!(sql.pick(ServerVersion(180_004)), Some("seventeen"));
        assert_eq!(ServerVersion(160_014).to_string(), "16.14");
        assert_eq!((ServerVersion(90_006).to_string(), ServerVersion(90_006).is_supported()), ("9.6".into(), false));
    }
}
