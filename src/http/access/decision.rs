//! Who is let in: what a request asks for, against what it shows of whoever sent it. Pure; a table of tests.

use crate::config::Role;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// To look: GET, HEAD, and what else changes nothing.
    Look,
    /// To change something: every other method.
    Change {
        /// Whether a browser says that another site's page made it send this.
        cross_site: bool,
    },
}

/// What a request shows of whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// No credential.
    Nothing,
    /// A credential that is nobody's.
    Wrong,
    /// The credential of somebody who may do so much.
    Known(Role),
}

/// What to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Let it through.
    Allow,
    /// 401: come again with a credential.
    Unauthorized,
    /// 403: no.
    Forbidden(Why),
}

/// Why a request is refused for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Nothing changes without a credential.
    NoCredential,
    /// Nothing changes by a credential that is nobody's.
    WrongCredential,
    /// Another site's page sent it in the name of whoever looks at that page.
    CrossSite,
    /// The role is not enough.
    Role,
}

impl Why {
    /// A sentence for whoever sent the request.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::NoCredential => "Nothing is changed without a credential: send one that `access` names.",
            Self::WrongCredential => "This credential is nobody's that `access` names.",
            Self::CrossSite => "A page of another site sent this request; nothing is changed by it.",
            Self::Role => "The role of this credential does not allow it.",
        }
    }
}

/// Whether a request goes on to its route. `open`: everybody may look.
pub(super) fn decide(ask: Ask, shown: Shown, open: bool) -> Verdict {
    match (ask, shown) {
        (Ask::Change { cross_site: true }, _) => Verdict::Forbidden(Why::CrossSite),
        (Ask::Change { .. }, Shown::Nothing) => Verdict::Forbidden(Why::NoCredential),
        (Ask::Change { .. }, Shown::Wrong) => Verdict::Forbidden(Why::WrongCredential),
        // What the role must be is for the route to say.
        (Ask::Change { .. }, Shown::Known(_)) => Verdict::Allow,
        (Ask::Look, _) if open => Verdict::Allow,
        (Ask::Look, Shown::Nothing | Shown::Wrong) => Verdict::Unauthorized,
        (Ask::Look, Shown::Known(role)) => enough(Some(role), Role::Viewer),
    }
}

/// Whether whoever sent a request may have what asks for `needed`.
pub(super) fn enough(role: Option<Role>, needed: Role) -> Verdict {
    match role {
        None => Verdict::Forbidden(Why::NoCredential),
        Some(role) if role.includes(needed) => Verdict::Allow,
        Some(_) => Verdict::Forbidden(Why::Role),
    }
}

/// What a request's head says about the page that sent it. A browser tells it in Sec-Fetch-Site, and an old one in Origin; what is no
/// browser tells neither, and cannot be made to send anything by another site.
pub(super) fn is_cross_site(fetch_site: Option<&str>, origin: Option<&str>, host: Option<&str>) -> bool {
    match (fetch_site, origin) {
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let from = origin.split_once("://").map(|(scheme, host)| (scheme, host.to_ascii_lowercase()));
            let Some(((scheme, from), host)) = from.zip(host.map(str::to_ascii_lowercase)) else { return true };
            let port = match scheme {
                "https" => ":443",
                _ => ":80",
            };
            // Browsers leave a scheme's own port out of Origin.
            from != host && format!("{from}{port}") != host && from != format!("{host}{port}")
        }
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_let_in() {
        use Role::{Admin, Approver, Ingest, Viewer};
        use Shown::{Known, Nothing, Wrong};
        use Verdict::{Allow, Forbidden, Unauthorized};
        let change = Ask::Change { cross_site: false };
        let forged = Ask::Change { cross_site: true };
        for (shown, open_look, closed_look, changed) in [
            (Nothing, Allow, Unauthorized, Forbidden(Why::NoCredential)),
            (Wrong, Allow, Unauthorized, Forbidden(Why::WrongCredential)),
            (Known(Ingest), Allow, Forbidden(Why::Role), Allow),
            (Known(Viewer), Allow, Allow, Allow),
            (Known(Approver), Allow, Allow, Allow),
            (Known(Admin), Allow, Allow, Allow),
        ] {
            assert_eq!(decide(Ask::Look, shown, true), open_look, "{shown:?}");
            assert_eq!(decide(Ask::Look, shown, false), closed_look, "{shown:?}");
            for open in [true, false] {
                assert_eq!(decide(change, shown, open), changed, "{shown:?}");
                assert_eq!(decide(forged, shown, open), Forbidden(Why::CrossSite), "{shown:?}");
            }
        }
    }

    #[test]
    fn what_a_route_asks_for() {
        use Role::{Admin, Approver, Ingest, Viewer};
        let yes = |role, needed| enough(Some(role), needed) == Verdict::Allow;
        for (role, may) in [
            (Ingest, [true, false, false, false]),
            (Viewer, [false, true, false, false]),
            (Approver, [true, true, true, false]),
            (Admin, [true, true, true, true]),
        ] {
            assert_eq!([Ingest, Viewer, Approver, Admin].map(|needed| yes(role, needed)), may, "{role:?}");
        }
        for (_, needed) in Role::ALL {
            assert_eq!(enough(None, needed), Verdict::Forbidden(Why::NoCredential));
        }
    }

    #[test]
    fn another_sites_page_is_told_from_our_own_and_from_no_browser() {
        for (fetch_site, origin, host, cross) in [
            (None, None, Some("vigil:10187"), false),
            (None, None, None, false),
            (Some("same-origin"), Some("http://vigil:10187"), Some("vigil:10187"), false),
            (Some("none"), None, Some("vigil:10187"), false),
            (Some("cross-site"), None, Some("vigil:10187"), true),
            (Some("same-site"), None, Some("vigil:10187"), true),
            (Some("cross-site"), Some("http://vigil:10187"), Some("vigil:10187"), true),
            (Some(""), None, Some("vigil:10187"), true),
            (None, Some("http://vigil:10187"), Some("vigil:10187"), false),
            (None, Some("http://VIGIL:10187"), Some("vigil:10187"), false),
            (None, Some("https://vigil"), Some("vigil:443"), false),
            (None, Some("https://vigil:443"), Some("vigil"), false),
            (None, Some("http://vigil"), Some("vigil:80"), false),
            (None, Some("http://vigil"), Some("vigil:443"), true),
            (None, Some("http://evil:10187"), Some("vigil:10187"), true),
            (None, Some("http://vigil.evil:10187"), Some("vigil:10187"), true),
            (None, Some("http://vigil:9090"), Some("vigil:10187"), true),
            (None, Some("null"), Some("vigil:10187"), true),
            (None, Some("http://vigil:10187"), None, true),
            (None, Some(""), Some(""), true),
        ] {
            assert_eq!(is_cross_site(fetch_site, origin, host), cross, "{fetch_site:?} {origin:?} {host:?}");
        }
    }
}
