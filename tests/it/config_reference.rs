//! `docs/configuration-reference.md`, made of the config's own types: every key, what it takes, its default, and what it is. The prose of
//! `docs/configuration.md` is held to the same keys and defaults.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use pgvigil::config::raw::SCALARS;
use pgvigil::config::settings::BOUNDS;
use pgvigil::config::{Environment, Role, Settings, backup, duration, load, runbooks};
use pgvigil::lab::Lab;
use pgvigil::runbook::book::Mode;
use syn::{Attribute, Expr, Fields, GenericArgument, Item, Lit, Meta, PathArguments, Type};

use crate::fixture::{ROOT, update};

/// Defaults that are not in [`SCALARS`]; each is tried below.
const DEFAULTS: [(&str, &str); 9] = [
    ("clusters[].backup.max_age", "36h"),
    ("clusters[].manager.pg_auto_failover.formation", "default"),
    ("clusters[].manager.repmgr.conf", "/etc/repmgr.conf"),
    ("clusters[].nodes[].expected", "true"),
    ("clusters[].nodes[].pooled", "false"),
    ("clusters[].runbooks.lock.etcd.prefix", "/pgvigil"),
    ("clusters[].runbooks.lock.etcd.ttl", "30s"),
    ("clusters[].runbooks.mode", "dry-run"),
    ("clusters[].runbooks.single_receiver", "false"),
];

/// What is the node's name unless it is set.
const OF_THE_NODE: [&str; 2] = ["clusters[].nodes[].application_name", "clusters[].nodes[].slot"];

/// A key without anything below it.
#[derive(Debug)]
struct Key {
    path: String,
    takes: String,
    is_required: bool,
    meaning: String,
}

/// The types of a file, by name.
type Types = BTreeMap<String, Item>;

fn types(path: &str) -> Types {
    let text = fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let named = |item: Item| match &item {
        Item::Struct(of) => Some((of.ident.to_string(), item.clone())),
        Item::Enum(of) => Some((of.ident.to_string(), item.clone())),
        _ => None,
    };
    syn::parse_file(&text).unwrap().items.into_iter().filter_map(named).collect()
}

/// The words of a doc comment.
fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ")
}

/// What serde's attributes say: another name, and whether the key may be left out.
fn serde(attributes: &[Attribute]) -> (Option<String>, bool) {
    let (mut name, mut has_default) = (None, false);
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute
            .parse_nested_meta(|meta| {
                has_default |= meta.path.is_ident("default");
                if let Ok(value) = meta.value() {
                    let value: syn::LitStr = value.parse()?;
                    if meta.path.is_ident("rename") {
                        name = Some(value.value());
                    }
                }
                Ok(())
            })
            .unwrap();
    }
    (name, has_default)
}

/// The name of a type, and what is between its angle brackets.
fn parts(of: &Type) -> (String, Vec<Type>) {
    let Type::Path(path) = of else { panic!("a type that the reference cannot read") };
    let last = path.path.segments.last().unwrap();
    let inner = match &last.arguments {
        PathArguments::AngleBracketed(inner) => inner.args.iter(),
        _ => return (last.ident.to_string(), Vec::new()),
    };
    let types = inner.filter_map(|argument| match argument {
        GenericArgument::Type(inner) => Some(inner.clone()),
        _ => None,
    });
    (last.ident.to_string(), types.collect())
}

/// Every key below the type `name`, which is at `path`. What a section needs, it needs where it is there.
fn walk(types: &Types, name: &str, path: &str, is_optional: bool, keys: &mut Vec<Key>) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match &types[name] {
        Item::Struct(of) => {
            let (_, all_have_defaults) = serde(&of.attrs);
            for field in &of.fields {
                let (renamed, has_default) = serde(&field.attrs);
                let key = join(&renamed.unwrap_or_else(|| field.ident.as_ref().unwrap().to_string()));
                take(types, &field.ty, key, has_default || all_have_defaults, doc(&field.attrs), keys);
            }
        }
        Item::Enum(of) => {
            let word = |variant: &syn::Variant| {
                let name = variant.ident.to_string();
                let parts = name.char_indices().map(|(at, letter)| match letter.is_uppercase() && at > 0 {
                    true => format!("_{}", letter.to_lowercase()),
                    false => letter.to_lowercase().to_string(),
                });
                parts.collect::<String>()
            };
            let bare = of.variants.iter().filter(|variant| matches!(variant.fields, Fields::Unit)).map(word);
            let takes = format!("`{}`, or one of the next", bare.collect::<Vec<_>>().join("`, `"));
            keys.push(Key { path: path.to_owned(), takes, is_required: !is_optional, meaning: doc(&of.attrs) });
            for variant in &of.variants {
                for field in &variant.fields {
                    take(types, &field.ty, join(&word(variant)), false, doc(&variant.attrs), keys);
                }
            }
        }
        _ => unreachable!(),
    }
}

/// One key, or those below it.
fn take(types: &Types, of: &Type, path: String, is_optional: bool, meaning: String, keys: &mut Vec<Key>) {
    let (name, inner) = parts(of);
    match (name.as_str(), inner.first()) {
        ("Option", Some(inner)) => take(types, inner, path, true, meaning, keys),
        ("Spanned" | "Box", Some(inner)) => take(types, inner, path, is_optional, meaning, keys),
        ("Vec", Some(inner)) => match leaf(inner) {
            Some(word) => {
                keys.push(Key { takes: format!("list of {word}"), path, is_required: !is_optional, meaning });
            }
            None => take(types, inner, format!("{path}[]"), false, meaning, keys),
        },
        ("BTreeMap", _) => {
            let takes = "name: secret text, as often as needed".to_owned();
            keys.push(Key { takes, path, is_required: !is_optional, meaning });
        }
        ("Later", _) => keys.push(Key { takes: "not available yet".into(), path, is_required: false, meaning }),
        (known, _) if types.contains_key(known) => walk(types, known, &path, is_optional, keys),
        _ => {
            let takes = words(&path).unwrap_or_else(|| leaf(of).unwrap_or_else(|| panic!("{path}: {name}")).to_owned());
            keys.push(Key { takes, path, is_required: !is_optional, meaning });
        }
    }
}

/// What a plain value is called.
fn leaf(of: &Type) -> Option<&'static str> {
    let (name, inner) = parts(of);
    match name.as_str() {
        "Spanned" => leaf(inner.first()?),
        "String" => Some("text"),
        "Secret" => Some("text that is never shown"),
        "bool" => Some("`true` or `false`"),
        "u32" => Some("number"),
        _ => None,
    }
}

/// What the code itself says of a key's values.
fn words(path: &str) -> Option<String> {
    let of = |words: Vec<&str>| Some(format!("`{}`", words.join("`, `")));
    let between = |least, most| Some(format!("duration, {} to {}", duration::show(least), duration::show(most)));
    match path {
        "access[].role" => of(Role::ALL.map(|(word, _)| word).to_vec()),
        "clusters[].runbooks.mode" => of(Mode::ALL.map(|(word, _)| word).to_vec()),
        "clusters[].backup.max_age" => between(backup::MAX_AGE.0, backup::MAX_AGE.1),
        "clusters[].runbooks.lock.etcd.ttl" => between(runbooks::TTL.0, runbooks::TTL.1),
        _ => BOUNDS.iter().find(|(key, ..)| *key == path).and_then(|(_, least, most)| between(*least, *most)),
    }
}

fn default(path: &str) -> Option<&'static str> {
    let all = SCALARS.iter().chain(&DEFAULTS);
    all.filter(|(key, value)| *key == path && !value.is_empty()).map(|(_, value)| *value).next()
}

fn keys() -> (Vec<Key>, Vec<Key>) {
    let (mut config, mut web) = (Vec::new(), Vec::new());
    walk(&types("src/config/raw.rs"), "RawConfig", "", false, &mut config);
    walk(&types("src/config/web/raw.rs"), "RawWeb", "", false, &mut web);
    (config, web)
}

fn reference() -> String {
    let (config, web) = keys();
    let mut page = String::from(
        "# Configuration reference\n\nGenerated from the config's types; a test keeps it true. What the keys are for, and what they go \
         with, is in [configuration](configuration.md). `[]`: for each element of a list. *required*: where the section or element is \
         there. `PGVIGIL_…`: the variable that sets the key too.\n\n## pgvigil.yml\n\n| key | takes | default | environment | meaning \
         |\n|---|---|---|---|---|\n",
    );
    for key in &config {
        let is_scalar = SCALARS.iter().any(|(scalar, _)| *scalar == key.path);
        let variable = format!("`PGVIGIL_{}`", key.path.to_uppercase().replace('.', "__"));
        let given = default(&key.path).map_or_else(
            || match (key.is_required, OF_THE_NODE.contains(&key.path.as_str())) {
                (true, _) => "*required*".to_owned(),
                (false, true) => "the node's name".to_owned(),
                (false, false) => "none".to_owned(),
            },
            |value| format!("`{value}`"),
        );
        let variable = if is_scalar { &variable } else { "" };
        let _ = writeln!(page, "| `{}` | {} | {given} | {variable} | {} |", key.path, key.takes, key.meaning);
    }
    page.push_str("\n## The web config\n\n| key | takes | meaning |\n|---|---|---|\n");
    for key in &web {
        let _ = writeln!(page, "| `{}` | {} | {} |", key.path, key.takes, key.meaning);
    }
    page
}

#[test]
fn the_reference_lists_what_the_types_take() {
    let path = Path::new(ROOT).join("docs/configuration-reference.md");
    let page = reference();
    if update() {
        fs::write(&path, &page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/configuration-reference.md is out of date: run this test with UPDATE=1");
}

#[test]
fn the_prose_has_every_key_with_its_default() {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/configuration.md")).unwrap();
    let rows: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            Some((cells.next()?.trim_end_matches('`').to_owned(), cells.next()?.to_owned()))
        })
        .collect();
    let (config, web) = keys();
    for key in config.iter().chain(&web) {
        let Some(row) = rows.get(&key.path) else { panic!("docs/configuration.md says nothing of {}", key.path) };
        if let Some(default) = default(&key.path) {
            assert_eq!(*row, format!("`{default}`"), "the default of {}", key.path);
        }
        if key.is_required {
            assert_eq!(row, "required", "{}", key.path);
        }
    }
    let known = |key: &String| config.iter().chain(&web).any(|known| known.path == *key);
    let dotted = |key: &&String| key.contains('.') || SCALARS.iter().any(|(scalar, _)| scalar == *key);
    assert_eq!(rows.keys().filter(dotted).find(|key| !known(key)), None, "a key that there is not");
}

/// The settings of a small config in which `key` has been given `value`, or not.
fn settings(lab: &Lab, key: &str, value: Option<&str>) -> Settings {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let pair =
        value.map(|value| format!("{name}: \"{value}\"").replace("\"true\"", "true").replace("\"false\"", "false"));
    let put = |at: &str| if at == section { pair.clone().unwrap_or_default() } else { String::new() };
    let more = |at: &str, rest: &str| {
        [put(at), rest.to_owned()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    };
    let manager = match section {
        "clusters[].manager.repmgr" => format!("manager: {{repmgr: {{{}}}}}, ", put(section)),
        "clusters[].manager.pg_auto_failover" => format!("manager: {{pg_auto_failover: {{{}}}}}, ", put(section)),
        "clusters[].backup" => format!("backup: {{{}}}, ", more(section, "pgbackrest: {stanza: a}")),
        _ => String::new(),
    };
    let lock = match section {
        "clusters[].runbooks.lock.etcd" => {
            format!("lock: {{etcd: {{{}}}}}", more(section, "endpoints: [\"http://127.0.0.1:1\"]"))
        }
        _ => String::new(),
    };
    let text = format!(
        "{}\ntimeouts: {{{}}}\nclusters:\n  - {{name: c, {manager}runbooks: {{{}}}, nodes: [{{{}}}]}}\n",
        put(""),
        put("timeouts"),
        more("clusters[].runbooks", &lock),
        more("clusters[].nodes[]", "name: a, dsn: \"host=127.0.0.1 port=1 user=m dbname=postgres\""),
    );
    let path = lab.path().join("pgvigil.yml");
    fs::write(&path, &text).unwrap();
    let none = Environment::from_iter(std::iter::empty::<(String, String)>());
    load(Some(&path), &none).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn each_default_is_what_counts_without_the_key() {
    let lab = Lab::new().unwrap();
    let all = SCALARS.iter().filter(|(_, value)| !value.is_empty()).chain(&DEFAULTS);
    let names = OF_THE_NODE.map(|key| (key, "a"));
    for (key, value) in all.chain(&names) {
        let (mut without, with) = (settings(&lab, key, None), settings(&lab, key, Some(value)));
        // Only that somebody wrote it down.
        without.state_dir.explicit = with.state_dir.explicit;
        assert_eq!(without, with, "{key}: {value}");
    }
}
