//! `pg_hba.conf`: which rule a replication login meets. The first rule that fits decides, as in the server.

use std::net::IpAddr;

use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// The rules, for superusers and whom they were granted.
pub static HBA: VersionedSql = VersionedSql(&[(10, include_str!("sql/hba.10.sql"))]);

/// One line of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Its number.
    pub line: u32,
    /// local, host, hostssl, hostnossl, hostgssenc or hostnogssenc.
    pub kind: String,
    /// The databases, with the words that the file has for several.
    pub databases: Vec<String>,
    /// The users, likewise.
    pub users: Vec<String>,
    /// The address, or a word or a name in its place.
    pub address: Option<String>,
    /// Its netmask.
    pub netmask: Option<String>,
    /// The method.
    pub method: String,
    /// What is wrong with the line.
    pub error: Option<String>,
}

/// What a login meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met<'a> {
    /// This rule lets it try.
    Rule(&'a Rule),
    /// This rule turns it away.
    Rejected(&'a Rule),
    /// No rule fits: the server refuses.
    Nothing,
    /// A rule before any other that fits may fit: its address is a name, or its users are a group.
    Unclear(&'a Rule),
}

/// Types the rows of [`HBA`].
pub fn rules(records: &Records) -> Result<Vec<Rule>, DecodeError> {
    let list = |row: &Record<'_>, column: &str| {
        let text = row.text(column)?.unwrap_or_default();
        Ok::<Vec<String>, DecodeError>(text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect())
    };
    let rule = |row: Record<'_>| {
        Ok(Rule {
            line: row.need_number("line")?,
            kind: row.text("type")?.unwrap_or_default().to_owned(),
            databases: list(&row, "databases")?,
            users: list(&row, "users")?,
            address: row.text("address")?.map(str::to_owned),
            netmask: row.text("netmask")?.map(str::to_owned),
            method: row.text("method")?.unwrap_or_default().to_owned(),
            error: row.text("error")?.map(str::to_owned),
        })
    };
    records.iter().map(rule).collect()
}

/// What a replication login of `user` from `from` meets.
pub fn replication<'a>(rules: &'a [Rule], user: &str, from: IpAddr) -> Met<'a> {
    let fits = rules.iter().filter(|rule| rule.error.is_none() && rule.kind.starts_with("host"));
    for rule in fits.filter(|rule| rule.databases.iter().any(|database| database == "replication")) {
        let by_user = any(&rule.users, |name| match name {
            "all" => Some(true),
            name if name.starts_with(['+', '/', '@']) => None,
            name => Some(name == user),
        });
        match (by_user, by_address(rule, from)) {
            (Some(false), _) | (_, Some(false)) => {}
            (Some(true), Some(true)) if rule.method == "reject" => return Met::Rejected(rule),
            (Some(true), Some(true)) => return Met::Rule(rule),
            _ => return Met::Unclear(rule),
        }
    }
    Met::Nothing
}

/// Whether any fits; `None` if none surely does and one may.
fn any(names: &[String], fits: impl Fn(&str) -> Option<bool>) -> Option<bool> {
    let answers: Vec<_> = names.iter().map(|name| fits(name)).collect();
    match () {
        () if answers.contains(&Some(true)) => Some(true),
        () if answers.contains(&None) => None,
        () => Some(false),
    }
}

fn by_address(rule: &Rule, from: IpAddr) -> Option<bool> {
    let address = rule.address.as_deref()?;
    if address == "all" {
        return Some(true);
    }
    // samehost, samenet and names hang on the server's own machine.
    let network: IpAddr = address.parse().ok()?;
    let mask: IpAddr = rule.netmask.as_deref()?.parse().ok()?;
    match (network, mask, from) {
        (IpAddr::V4(network), IpAddr::V4(mask), IpAddr::V4(from)) => {
            Some(u32::from(network) & u32::from(mask) == u32::from(from) & u32::from(mask))
        }
        (IpAddr::V6(network), IpAddr::V6(mask), IpAddr::V6(from)) => {
            Some(u128::from(network) & u128::from(mask) == u128::from(from) & u128::from(mask))
        }
        _ => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(line: u32, database: &str, user: &str, address: &str, netmask: &str, method: &str) -> Rule {
        Rule {
            line,
            kind: "host".into(),
            databases: vec![database.into()],
            users: vec![user.into()],
            address: Some(address.into()),
            netmask: Some(netmask.into()).filter(|mask: &String| !mask.is_empty()),
            method: method.into(),
            error: None,
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let from = |text: &str| text.parse::<IpAddr>().unwrap();
        let rules = [
            rule(1, "all", "all", "all", "", "trust"),
            rule(2, "replication", "repl", "10.0.0.0", "255.0.0.0", "scram-sha-256"),
            rule(3, "replication", "all", "192.168.1.7", "255.255.255.255", "reject"),
            rule(4, "replication", "+standbys", "::", "::", "md5"),
        ];
        assert_eq!(replication(&rules, "repl", from("10.2.3.4")), Met::Rule(&rules[1]));
        assert_eq!(replication(&rules, "other", from("10.2.3.4")), Met::Nothing, "all is not replication");
        assert_eq!(replication(&rules, "repl", from("192.168.1.7")), Met::Rejected(&rules[2]));
        assert_eq!(replication(&rules, "repl", from("192.168.1.8")), Met::Nothing);
        assert_eq!(replication(&rules, "repl", from("::1")), Met::Unclear(&rules[3]));
    }
}
