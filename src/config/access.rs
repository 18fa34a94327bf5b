//! The keys `access` and `alertmanager`: who may do what, and how they prove who they are.

use std::path::{Path, PathBuf};

use serde_saphyr::Spanned;

use super::environment::Merged;
use super::problem::{Origin, Problem};
use super::raw::{RawConfig, RawHolder};
use super::settings::{name, unique};

/// What a holder of a credential may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Hands in alerts, and nothing else.
    Ingest,
    /// Reads every page, and changes nothing.
    Viewer,
    /// Besides, hands in alerts, and decides on what waits for a person.
    Approver,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role, with its name in the config.
    pub const ALL: [(&'static str, Self); 4] =
        [("ingest", Self::Ingest), ("viewer", Self::Viewer), ("approver", Self::Approver), ("admin", Self::Admin)];

    /// Its name in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Viewer => "viewer",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    /// Whether it is enough where `needed` is: a higher role includes the lower ones, but a viewer hands in no alerts, because an
    /// alert changes something.
    pub fn includes(self, needed: Self) -> bool {
        self >= needed && (self, needed) != (Self::Viewer, Self::Ingest)
    }
}

/// How a holder proves who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// By the bearer token that this file holds.
    TokenFile(PathBuf),
    /// By the password of this one of web_config's `basic_auth_users`.
    User(String),
    /// By a verified client certificate with this subject alternative name.
    ClientSan(String),
}

/// One who may do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// How they are called in logs and journals.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// How they prove it.
    pub proof: Proof,
}

/// What the holder of `alertmanager`'s token is called.
const ALERTMANAGER: &str = "alertmanager";

/// Judges both keys. Relative paths of the file count from `dir`.
pub(super) fn settle(raw: &RawConfig, merged: &Merged<'_>, dir: &Path) -> Result<Vec<Holder>, Problem> {
    unique(raw.access.iter().map(|holder| &holder.name), "holders of access")?;
    let mut holders = raw.access.iter().map(|raw| holder(raw, dir)).collect::<Result<Vec<_>, _>>()?;
    for (index, holder) in holders.iter().enumerate() {
        if let Some(twin) = holders[..index].iter().find(|earlier| earlier.proof == holder.proof) {
            let what =
                format!("{} and {} of access prove themselves by the same: whose would it be?", twin.name, holder.name);
            return Err(Problem::new(&raw.access[index].name, what));
        }
    }
    let (token_file, origin) = merged.get("alertmanager.bearer_token_file");
    if token_file.is_empty() {
        return match origin {
            Origin::Nowhere => Ok(holders),
            origin => Err(Problem::new(origin, "alertmanager.bearer_token_file is empty: name a file, or remove it")),
        };
    }
    if let Some(twin) = raw.access.iter().find(|holder| holder.name.value == ALERTMANAGER) {
        return Err(Problem::new(&twin.name, "alertmanager is the name of the webhook's own token: use another one"));
    }
    let path = if matches!(origin, Origin::File(..)) { dir.join(token_file) } else { token_file.into() };
    holders.push(Holder { name: ALERTMANAGER.to_owned(), role: Role::Ingest, proof: Proof::TokenFile(path) });
    Ok(holders)
}

fn holder(raw: &RawHolder, dir: &Path) -> Result<Holder, Problem> {
    let name = name(&raw.name)?;
    let role = Role::ALL.iter().find(|(word, _)| *word == raw.role.value).map(|(_, role)| *role);
    let role = role.ok_or_else(|| {
        let what =
            format!("role of {name} is none that there is: use viewer, approver or admin, or ingest to hand in alerts");
        Problem::new(&raw.role, what)
    })?;
    type Make = fn(&Path, &str) -> Proof;
    let ways: [(&str, &Option<Spanned<String>>, Make); 3] = [
        ("token_file", &raw.token_file, |dir, file| Proof::TokenFile(dir.join(file))),
        ("user", &raw.user, |_, user| Proof::User(user.to_owned())),
        ("client_san", &raw.client_san, |_, san| Proof::ClientSan(san.to_owned())),
    ];
    let mut given = ways.iter().filter_map(|(key, value, make)| Some((key, value.as_ref()?, make)));
    let Some((key, value, make)) = given.next() else {
        let what = format!("{name} of access has no credential: set token_file, user or client_san");
        return Err(Problem::new(&raw.name, what));
    };
    if let Some((second, value, _)) = given.next() {
        return Err(Problem::new(value, format!("{name} of access has both {key} and {second}: keep one")));
    }
    if value.value.is_empty() {
        return Err(Problem::new(value, format!("{key} of {name} is empty: write one")));
    }
    Ok(Holder { name, role, proof: make(dir, &value.value) })
}
