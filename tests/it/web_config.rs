//! Web configs and tokens from a person's side: what is wrong is one sentence, before anything is served.

use std::fs;
use std::path::PathBuf;

use pgvigil::config::{Environment, load};
use pgvigil::http::Door;

use crate::pki::Authority;

const GOOD: &str = "clusters: [{name: c, nodes: [{name: a, dsn: host=db1 user=m}]}]\n";
const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

/// A directory with certificates and tokens, gone at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = Self(std::env::temp_dir().join(format!("pgvigil-web-{name}-{}", std::process::id())));
        fs::create_dir_all(&dir.0).unwrap();
        let (authority, other) = (Authority::new(), Authority::new());
        let (server, stranger) = (authority.issue(&["127.0.0.1"]), other.issue(&["127.0.0.1"]));
        for (file, text) in [
            ("server.crt", server.cert),
            ("server.key", server.key),
            ("other.key", stranger.key),
            ("ca.crt", authority.pem()),
            ("empty", String::new()),
            ("junk.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()),
            ("broken.crt", "-----BEGIN CERTIFICATE-----\n!!!!\n".to_owned()),
            ("token", "secret-token-0123456789\n".to_owned()),
            ("twin", "secret-token-0123456789".to_owned()),
            ("short", "secret".to_owned()),
            ("words", "secret words of a token".to_owned()),
        ] {
            fs::write(dir.0.join(file), text).unwrap();
        }
        dir
    }

    /// What is said of a web config and of more lines of the config; empty if all is well.
    fn said(&self, web: &str, more: &str) -> String {
        fs::write(self.0.join("web.yml"), web).unwrap();
        let config = self.0.join("pgvigil.yml");
        fs::write(&config, format!("web_config: web.yml\n{more}{GOOD}")).unwrap();
        let settings = load(Some(&config), &Environment::default()).unwrap();
        let said = Door::open(&settings).err().map(|error| format!("{error}")).unwrap_or_default();
        said.replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Every mismatch at once.
fn compare(dir: &Dir, cases: &[(String, &str, String)]) {
    let mut wrong = String::new();
    for (web, more, expected) in cases {
        let said = dir.said(web, more);
        assert!(!said.contains("secret") && !said.contains("X0h1gDsP"), "{said}");
        if said != *expected {
            wrong.push_str(&format!("in: {web}{more}\n  said:     {said}\n  expected: {expected}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

const PAIR: &str = "cert_file: server.crt, key_file: server.key";

#[test]
fn what_is_wrong_with_a_web_config_is_one_sentence() {
    let dir = Dir::new("bad");
    let tls = |rest: &str, expected: &str| (format!("tls_server_config: {{{rest}}}\n"), "", expected.to_owned());
    let pair = |rest: &str, expected: &str| tls(&format!("{PAIR}, {rest}"), expected);
    let text = |text: &str, expected: &str| (text.to_owned(), "", expected.to_owned());
    let suites = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256";
    let required = "client_allowed_sans needs client_auth_type RequireAndVerifyClientCert or RequireAnyClientCert: the others let a client in without a certificate";
    compare(
        &dir,
        &[
            // The file as a whole.
            text(
                "tls_config: {}",
                "web.yml:1:1: tls_config is not a key here: the keys are tls_server_config, http_server_config, basic_auth_users, rate_limit",
            ),
            text("- a", "web.yml:1:1: a section of keys belongs here"),
            text(
                "basic_auth_users: \"abc",
                "web.yml:1:19: this is not YAML as it should be: check indentation, quotes and brackets",
            ),
            text("rate_limit: {}\nrate_limit: {}\n", "web.yml:2:1: rate_limit is set twice: keep one"),
            // Certificates and keys.
            tls(
                "cert_file: server.crt",
                "web.yml: tls_server_config has no key for its certificate: set key_file, or key",
            ),
            tls("key_file: server.key", "web.yml: tls_server_config has no certificate: set cert_file, or cert"),
            tls("min_version: TLS13", "web.yml: tls_server_config has no certificate: set cert_file, or cert"),
            pair("cert: x", "web.yml:1:32: cert and cert_file are both set: keep one"),
            pair("key: secret", "web.yml:1:54: key and key_file are both set: keep one"),
            tls("cert_file: none.crt, key_file: server.key", "cert_file none.crt does not exist"),
            tls("cert_file: server.crt, key_file: none.key", "key_file none.key does not exist"),
            tls("cert_file: empty, key_file: server.key", "cert_file empty holds no certificate: PEM is needed"),
            tls(
                "cert_file: server.key, key_file: server.key",
                "cert_file server.key holds no certificate: PEM is needed",
            ),
            tls("cert_file: broken.crt, key_file: server.key", "cert_file broken.crt is not PEM"),
            tls("cert: secret, key_file: server.key", "cert holds no certificate: PEM is needed"),
            tls("cert_file: server.crt, key: secret", "key holds no private key without a passphrase: PEM is needed"),
            tls(
                "cert_file: server.crt, key_file: server.crt",
                "key_file server.crt holds no private key without a passphrase: PEM is needed",
            ),
            tls(
                "cert_file: server.crt, key_file: other.key",
                "tls_server_config cannot be used: key_file other.key is not the key of cert_file server.crt",
            ),
            tls(
                "cert_file: junk.crt, key_file: server.key",
                "tls_server_config cannot be used: cert_file junk.crt: invalid peer certificate: BadEncoding",
            ),
            // Clients.
            pair(
                "client_auth_type: Always",
                "web.yml:1:84: client_auth_type is none that there is: use NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert",
            ),
            pair(
                "client_auth_type: RequireAndVerifyClientCert",
                "web.yml:1:84: client_auth_type RequireAndVerifyClientCert needs client_ca_file: who vouches for clients?",
            ),
            pair(
                "client_auth_type: VerifyClientCertIfGiven",
                "web.yml:1:84: client_auth_type VerifyClientCertIfGiven needs client_ca_file: who vouches for clients?",
            ),
            pair(
                "client_ca_file: ca.crt",
                "web.yml: a client_ca is set and client_auth_type is not, so that no client would be asked for a certificate: set it to RequireAndVerifyClientCert, or remove the client_ca",
            ),
            pair(
                "client_ca_file: ca.crt, client_auth_type: NoClientCert",
                "web.yml:1:108: client_auth_type is NoClientCert and a client_ca is set: use RequireAndVerifyClientCert, or remove the client_ca",
            ),
            pair(
                "client_ca_file: empty, client_auth_type: RequireAndVerifyClientCert",
                "client_ca_file empty holds no certificate: PEM is needed",
            ),
            pair(
                "client_ca_file: junk.crt, client_auth_type: RequireAndVerifyClientCert",
                "tls_server_config cannot be used: client_ca holds what is no authority's certificate: invalid peer certificate: BadEncoding",
            ),
            pair("client_allowed_sans: [a]", &format!("web.yml:1:87: {required}")),
            pair("client_allowed_sans: [a], client_auth_type: RequestClientCert", &format!("web.yml:1:87: {required}")),
            pair(
                "client_allowed_sans: [], client_auth_type: RequireAnyClientCert",
                "web.yml:1:87: client_allowed_sans is empty, and nobody could come in: name somebody, or remove it",
            ),
            // What Go has and rustls has not.
            pair("min_version: TLS10", "web.yml:1:79: min_version TLS10 is too old to be safe: use TLS12 or TLS13"),
            pair("max_version: TLS11", "web.yml:1:79: max_version TLS11 is too old to be safe: use TLS12 or TLS13"),
            pair("min_version: 1.2", "web.yml:1:79: min_version is no version of TLS: use TLS12 or TLS13"),
            pair("min_version: TLS13, max_version: TLS12", "web.yml:1:99: max_version is older than min_version"),
            pair(
                "cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]",
                &format!("web.yml:1:82: this cipher suite is not spoken here; those of TLS 1.2 are {suites}"),
            ),
            pair(
                "max_version: TLS12, cipher_suites: [TLS_AES_128_GCM_SHA256]",
                "web.yml: max_version is TLS12, and cipher_suites has none of TLS 1.2: nobody could come in",
            ),
            pair(
                "curve_preferences: [X25519, CurveP521]",
                "web.yml:1:94: this curve is not spoken here: use X25519, CurveP256 or CurveP384",
            ),
            // HTTP.
            text("http_server_config: {http3: true}", "web.yml:1:22: http3 is not a key here: did you mean http2?"),
            text("http_server_config: {http2: yes}", "web.yml:1:29: true or false belongs here"),
            text(
                "http_server_config: {headers: {X-Powered-By: me}}",
                "web.yml:1:32: X-Powered-By is not a key here: the keys are Content-Security-Policy, X-Frame-Options, X-Content-Type-Options, X-XSS-Protection, Strict-Transport-Security",
            ),
            text(
                "http_server_config: {headers: {X-Frame-Options: maybe}}",
                "web.yml:1:49: X-Frame-Options must be deny or sameorigin",
            ),
            text(
                "http_server_config: {headers: {X-Content-Type-Options: x}}",
                "web.yml:1:56: X-Content-Type-Options must be nosniff",
            ),
            text(
                "http_server_config: {headers: {X-XSS-Protection: \"a\\r\\nb: c\"}}",
                "web.yml:1:50: X-XSS-Protection must be printable ASCII, on one line",
            ),
            // Users.
            text(
                "basic_auth_users: {ann: secret}",
                "web.yml:1:25: this is no bcrypt hash of a password: make one with `htpasswd -nBC 10 \"\" | tr -d ':\\n'`",
            ),
            text(
                &format!("basic_auth_users: {{ann: {}}}", HASH.replace("$10$", "$20$")),
                "web.yml:1:25: the bcrypt cost of this user's password is 20, and 4 to 15 are possible: more takes longer than an answer may",
            ),
            text(
                &format!("basic_auth_users: {{\"a:b\": {HASH}}}"),
                "web.yml:1:27: a user's name in basic_auth_users must be text without a colon, which would end it",
            ),
            text(
                &format!("basic_auth_users: {{ann: {HASH}, ann: {HASH}}}"),
                "web.yml:1:87: ann is set twice: keep one",
            ),
            text("basic_auth_users: [ann]", "web.yml:1:19: a section of keys belongs here"),
            // The rate.
            text(
                "rate_limit: {interval: 1s}",
                "web.yml:1:24: rate_limit has no burst, without which no request is ever answered: use 1 or more",
            ),
            text(
                "rate_limit: {interval: 1s, burst: 0}",
                "web.yml:1:35: rate_limit.burst is 0, with which no request is ever answered: use 1 or more",
            ),
            text(
                "rate_limit: {burst: 5}",
                "web.yml:1:21: rate_limit has a burst and no interval: set it, such as 100ms",
            ),
            text(
                "rate_limit: {interval: 10, burst: 5}",
                "web.yml:1:24: rate_limit.interval has no unit: write 100ms or 1m30s",
            ),
            text(
                "rate_limit: {interval: soon, burst: 5}",
                "web.yml:1:24: rate_limit.interval is not a duration such as 100ms or 1m30s",
            ),
            text("rate_limit: {interval: 1s, burst: -1}", "web.yml:1:35: one value belongs here"),
        ],
    );
}

#[test]
fn what_is_wrong_with_a_credential_is_one_sentence() {
    let dir = Dir::new("credentials");
    let unverified = "access of ops: client_san needs a web_config whose client_auth_type is VerifyClientCertIfGiven or RequireAndVerifyClientCert: no other client certificate says who somebody is";
    let case = |web: &str, more: &'static str, expected: &str| (web.to_owned(), more, expected.to_owned());
    let any = format!("tls_server_config: {{{PAIR}, client_auth_type: RequireAnyClientCert}}");
    compare(
        &dir,
        &[
            case(
                "",
                "access: [{name: ops, role: admin, token_file: none}]\n",
                "access of ops: token_file none does not exist",
            ),
            case(
                "",
                "access: [{name: ops, role: admin, token_file: empty}]\n",
                "access of ops: token_file empty is empty: write the token into it",
            ),
            case(
                "",
                "access: [{name: ops, role: admin, token_file: short}]\n",
                "access of ops: token_file short holds a token that is shorter than 16 characters, which can be guessed: make one with `openssl rand -hex 32`",
            ),
            case(
                "",
                "access: [{name: ops, role: admin, token_file: words}]\n",
                "access of ops: token_file words holds more than one word of printable ASCII: write nothing but the token into it",
            ),
            case(
                "",
                "access: [{name: ops, role: admin, token_file: token}, {name: b, role: viewer, token_file: twin}]\n",
                "access of b: token_file twin holds the token of somebody else: whose would it be?",
            ),
            case(
                "",
                "alertmanager: {bearer_token_file: twin}\naccess: [{name: ops, role: admin, token_file: token}]\n",
                "access of alertmanager: token_file twin holds the token of somebody else: whose would it be?",
            ),
            case(
                "",
                "alertmanager: {bearer_token_file: .}\n",
                "access of alertmanager: token_file . cannot be read: Is a directory (os error 21)",
            ),
            case(
                "",
                "access: [{name: ops, role: admin, user: ann}]\n",
                "access of ops: basic_auth_users of web_config has no user ann: add it, or use token_file",
            ),
            case("", "access: [{name: ops, role: admin, client_san: ops.example}]\n", unverified),
            case(&any, "access: [{name: ops, role: admin, client_san: ops.example}]\n", unverified),
        ],
    );
}

#[test]
fn what_is_good_is_taken() {
    let dir = Dir::new("good");
    let all = format!(
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  client_auth_type: RequireAndVerifyClientCert\n  \
         client_ca_file: ca.crt\n  client_allowed_sans: [prometheus.example]\n  min_version: TLS12\n  max_version: TLS13\n  \
         cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]\n  prefer_server_cipher_suites: false\n  \
         curve_preferences: [CurveP256, X25519]\nhttp_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    \
         Strict-Transport-Security: ''\nbasic_auth_users:\n  ann: {HASH}\nrate_limit:\n  interval: 0\n  burst: 20\n"
    );
    for web in [
        "",
        "# nothing\n",
        "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\nrate_limit:\n",
        "tls_server_config: {}\n",
        &all,
        &all.replace("min_version: TLS12", "min_version: TLS13"),
        &all.replace("max_version: TLS13", "max_version: TLS12"),
        &all.replace("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, ", ""),
        &all.replace("RequireAndVerifyClientCert", "RequireClientCert"),
        &format!("tls_server_config: {{{PAIR}, client_auth_type: RequestClientCert}}\n"),
        &format!("basic_auth_users: {{ann: {HASH}, bob: {}}}\n", HASH.replace("2y", "2a")),
    ] {
        assert_eq!(dir.said(web, "alertmanager: {bearer_token_file: token}\n"), "", "{web}");
    }
}
