//! A rule file with another base for its runbooks, and as a PrometheusRule of Kubernetes. Both are made from the text, so that comments
//! and the lines of long expressions stay, and read back to see that nothing else changed.

use std::collections::BTreeMap;

use serde_json::Value;
use url::Url;

use super::RUNBOOK_BASE;

/// Why a file cannot be made.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RuleFileError {
    /// The file itself.
    #[error("it is not YAML: this is a mistake of pgvigil, report it")]
    NotYaml,
    /// The base does not stand where it should without quotes.
    #[error("it would say something else with this base URL: use one of letters, digits, dots, dashes and slashes")]
    Base,
    /// The form of the file.
    #[error("it cannot be indented without changing what it says: this is a mistake of pgvigil, report it")]
    Indent,
}

/// Where runbooks are served, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base(String);

impl Base {
    /// Reads a URL: http or https, without user, query and fragment. The error ends a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("it is not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("it must begin with http:// or https:// and a host".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it stands in every alert and must not hold a user or a password".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("the name of an alert is put behind it, so it can have no ? and no #".to_owned());
        }
        let base = url.as_str().trim_end_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":/.-_~%@+[]".contains(&byte);
        match base.bytes().all(plain) {
            true => Ok(Self(base.to_owned())),
            false => Err("use one of letters, digits, dots, dashes and slashes".to_owned()),
        }
    }
}

/// The text with `base` where ours stood.
pub fn with_base(text: &str, base: &Base) -> Result<String, RuleFileError> {
    let made = text.replace(RUNBOOK_BASE, &base.0);
    let mut expected = read(text).ok_or(RuleFileError::NotYaml)?;
    replace(&mut expected, &base.0);
    match read(&made) {
        Some(read) if read == expected => Ok(made),
        _ => Err(RuleFileError::Base),
    }
}

fn replace(value: &mut Value, base: &str) {
    match value {
        Value::String(text) => *text = text.replace(RUNBOOK_BASE, base),
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, base)),
        Value::Object(map) => map.values_mut().for_each(|value| replace(value, base)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What a PrometheusRule is called and carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Its namespace; that of whoever applies it if there is none.
    pub namespace: Option<String>,
    /// Its labels, by which a Prometheus selects it.
    pub labels: BTreeMap<String, String>,
}

/// The rule file as a `monitoring.coreos.com/v1` PrometheusRule.
pub fn prometheus_rule(text: &str, metadata: &Metadata) -> Result<String, RuleFileError> {
    let Metadata { name, namespace, labels } = metadata;
    let mut made =
        format!("apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: \"{name}\"\n");
    if let Some(namespace) = namespace {
        made.push_str(&format!("  namespace: \"{namespace}\"\n"));
    }
    if !labels.is_empty() {
        made.push_str("  labels:\n");
        labels.iter().for_each(|(key, value)| made.push_str(&format!("    \"{key}\": \"{value}\"\n")));
    }
    made.push_str("spec:\n");
    for line in text.lines() {
        // An empty line of a block of text is empty there too.
        let indent = if line.is_empty() { "" } else { "  " };
        made.push_str(&format!("{indent}{line}\n"));
    }
    let spec = read(text).ok_or(RuleFileError::NotYaml)?;
    let mut expected = serde_json::json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": { "name": name },
        "spec": spec,
    });
    if let Some(namespace) = namespace {
        expected["metadata"]["namespace"] = namespace.as_str().into();
    }
    if !labels.is_empty() {
        expected["metadata"]["labels"] = serde_json::json!(labels);
    }
    match read(&made) {
        Some(read) if read == expected => Ok(made),
        _ => Err(RuleFileError::Indent),
    }
}

fn read(text: &str) -> Option<Value> {
    serde_saphyr::from_str(text).ok()
}

/// Whether Kubernetes takes it as the name of a namespace.
pub fn is_namespace(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('-') && !name.ends_with('-')
}

/// Whether Kubernetes takes it as the key of a label: a name, and before it perhaps a domain and a slash.
pub fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((domain, name)) => domain.len() <= 253 && domain.split('.').all(is_namespace) && is_label_name(name),
        None => is_label_name(key),
    }
}

/// Whether Kubernetes takes it as the value of a label.
pub fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_label_name(value)
}

fn is_label_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let ends = |c: char| c.is_ascii_alphanumeric();
    (1..=63).contains(&name.len()) && name.bytes().all(plain) && name.starts_with(ends) && name.ends_with(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_url_that_can_stand_anywhere() {
        for (text, base) in [
            ("https://docs.example/pg/", "https://docs.example/pg"),
            ("http://10.0.0.1:10187/runbooks", "http://10.0.0.1:10187/runbooks"),
            ("http://[2001:db8::1]:80", "http://[2001:db8::1]"),
            ("HTTPS://Docs.Example", "https://docs.example"),
        ] {
            assert_eq!(Base::parse(text), Ok(Base(base.to_owned())), "{text}");
        }
        for text in [
            "",
            "docs",
            "ftp://a",
            "/x",
            "https://u:p@a",
            "https://u@a",
            "https://a?x",
            "https://a#x",
            "https://a/'x",
            "https://a/&b",
            "https://a/*",
        ] {
            assert!(Base::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_would_say_something_else_is_refused() {
        let base = Base("http://[::1]".to_owned());
        let flow = format!("a: {{b: {RUNBOOK_BASE}/x}}\n");
        assert_eq!(with_base(&flow, &base), Err(RuleFileError::Base));
        assert_eq!(with_base(&format!("a: {RUNBOOK_BASE}/x\n"), &base).as_deref(), Ok("a: http://[::1]/x\n"));
        assert_eq!(with_base("a: [", &base), Err(RuleFileError::NotYaml));
        let comment = Base("http://a #".to_owned());
        assert_eq!(
            with_base(&format!("a: {RUNBOOK_BASE}/x\n"), &comment),
            Err(RuleFileError::Base),
            "read, but not as meant"
        );
        let metadata = Metadata { name: "x".to_owned(), ..Metadata::default() };
        assert_eq!(prometheus_rule("---\ngroups: []\n", &metadata), Err(RuleFileError::Indent));
        assert_eq!(prometheus_rule("a: \"b\nc\"\n", &metadata).map(drop), Ok(()), "a folded line");
        let broken = Metadata { name: "x\"\nkind: y\n#".to_owned(), ..Metadata::default() };
        assert_eq!(prometheus_rule("groups: []\n", &broken), Err(RuleFileError::Indent));
        let cut = Metadata { name: "x\" #".to_owned(), ..Metadata::default() };
        assert_eq!(prometheus_rule("groups: []\n", &cut), Err(RuleFileError::Indent), "read, but not as meant");
    }

    #[test]
    fn names_are_as_kubernetes_takes_them() {
        for (text, namespace, key, value) in [
            ("monitoring", true, true, true),
            ("", false, false, true),
            ("A", false, true, true),
            ("a_b", false, true, true),
            ("a.b", false, true, true),
            ("-a", false, false, false),
            ("a-", false, false, false),
            ("app.kubernetes.io/name", false, true, false),
            ("a/b/c", false, false, false),
            ("/a", false, false, false),
            ("a b", false, false, false),
            ("a\"", false, false, false),
        ] {
            assert_eq!(
                (is_namespace(text), is_label_key(text), is_label_value(text)),
                (namespace, key, value),
                "{text}"
            );
        }
    }
}
