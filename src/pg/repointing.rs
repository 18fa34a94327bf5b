//! A standby's `primary_conninfo` with another host and port, and nothing else changed.

use super::conninfo::{self, DsnError};

/// Where it leads; these alone change. An address given apart would still lead to the old server.
const PLACE: [&str; 3] = ["host", "hostaddr", "port"];
/// Options whose values are secrets.
const SECRETS: [&str; 5] = ["password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"];

/// A `primary_conninfo`. Without `Debug`: it may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PrimaryConninfo(Vec<(String, String)>);

impl PrimaryConninfo {
    /// Reads either of libpq's forms. Every option of it is kept, known to us or not.
    pub fn parse(text: &str) -> Result<Self, DsnError> {
        let mut options = Vec::new();
        conninfo::read(text, &mut |name, value, _| {
            // No option of libpq has another; printed, it could be read as several, or as the beginning of a URI.
            if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(DsnError::Name);
            }
            options.push((name.to_owned(), value));
            Ok(())
        })?;
        // A URI names all its parts, of which an empty one is none.
        options.retain(|(_, value)| !value.is_empty());
        Ok(Self(options))
    }

    /// The same at another place.
    #[must_use]
    pub fn at(&self, host: &str, port: u16) -> Self {
        let place = [("host".to_owned(), host.to_owned()), ("port".to_owned(), port.to_string())];
        let others = self.0.iter().filter(|(name, _)| !PLACE.contains(&name.as_str()));
        Self(place.into_iter().chain(others.cloned()).collect())
    }

    /// Whether it leads to this place and nowhere else.
    pub fn leads_to(&self, host: &str, port: u16) -> bool {
        let is_port = |text: &str| text.parse() == Ok(port);
        self.option("hostaddr").is_none()
            && self.option("host") == Some(host)
            && self.option("port").map_or(port == 5432, is_port)
    }

    /// Whether there is a secret in it.
    pub fn has_secret(&self) -> bool {
        SECRETS.iter().any(|name| self.option(name).is_some())
    }

    /// The value of an option; as in libpq the last one counts.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// As libpq reads it, every value in quotes. There may be a secret in it.
    pub fn reveal(&self) -> String {
        let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
        let options: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}='{}'", quoted(value))).collect();
        options.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moved(text: &str) -> String {
        PrimaryConninfo::parse(text).ok().unwrap().at("10.0.0.2", 5433).reveal()
    }

    #[test]
    fn host_and_port_alone_change() {
        assert_eq!(
            moved("user=replicator password='a b\\'c' host=10.0.0.1 sslmode=verify-full gssencmode=require"),
            "host='10.0.0.2' port='5433' user='replicator' password='a b\\'c' sslmode='verify-full' gssencmode='require'"
        );
        assert_eq!(
            moved("postgresql://replicator:p%20w@[::1]:5432/?application_name=b&unheard_of=1"),
            "host='10.0.0.2' port='5433' user='replicator' password='p w' application_name='b' unheard_of='1'"
        );
    }

    #[test]
    fn an_address_given_apart_would_still_lead_to_the_old_server() {
        assert_eq!(moved("host=db1 hostaddr=10.0.0.1 port=5432"), "host='10.0.0.2' port='5433'");
        assert_eq!(moved("host=db1,db2 port=5432,5433 user=r"), "host='10.0.0.2' port='5433' user='r'");
        let leads = |text: &str| PrimaryConninfo::parse(text).ok().unwrap().leads_to("10.0.0.2", 5432);
        assert!(leads("host=10.0.0.2 user=r") && leads("port=5432 host=10.0.0.2"));
        assert!(!leads("host=10.0.0.2 hostaddr=10.0.0.1") && !leads("host=10.0.0.2 port=5433") && !leads(""));
    }

    #[test]
    fn a_name_that_would_be_several_options_is_refused() {
        for text in ["postgres://h/?a%20b=1", "postgres://h/?a%3D1%20password=x", "postgres://h/?a b=1"] {
            assert!(PrimaryConninfo::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_told_by_its_name() {
        let has = |text: &str| PrimaryConninfo::parse(text).ok().unwrap().has_secret();
        assert!(has("password=x") && has("postgres://u:p@h") && has("sslkey=a sslpassword=b"));
        assert!(!has("user=r passfile=/etc/pass") && !has("password=''") && !has("postgres://u@h"));
    }

    proptest! {
        #[test]
        fn every_other_option_is_read_again_as_it_was(
            options in prop::collection::btree_map("[a-z_]{1,12}", "\\PC{1,20}", 0..6),
        ) {
            let text: Vec<_> = options.iter().filter(|(_, value)| !value.contains('\0')).map(|(name, value)| {
                format!("{name} = '{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
            }).collect();
            let read = PrimaryConninfo::parse(&text.join(" ")).ok().unwrap();
            let again = PrimaryConninfo::parse(&read.at("h", 1).reveal()).ok().unwrap();
            for (name, value) in options.iter().filter(|(name, _)| !PLACE.contains(&name.as_str())) {
                prop_assert_eq!(again.option(name), Some(value.as_str()));
            }
        }
    }
}
