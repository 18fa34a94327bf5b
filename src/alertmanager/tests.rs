use proptest::prelude::*;
use serde_json::json;

use super::*;

fn recorded(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/webhook/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn good() -> Value {
    serde_json::from_slice(&recorded("two-firing")).unwrap()
}

fn parse(value: &Value) -> Result<Payload, PayloadError> {
    Payload::parse(value.to_string().as_bytes())
}

/// The recorded request with the value at `pointer` replaced; `Value::Null` at the end of a pointer with `-` removes it.
fn with(pointer: &str, value: Value) -> Value {
    let mut all = good();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = all.pointer_mut(parent).unwrap();
    match key.strip_prefix('-') {
        Some(key) => drop(parent.as_object_mut().unwrap().remove(key)),
        None => parent[key] = value,
    }
    all
}

#[test]
fn what_alertmanager_sent_is_read() {
    let firing = Payload::parse(&recorded("firing")).unwrap();
    let alert = &firing.alerts[0];
    assert_eq!((firing.receiver.as_str(), firing.truncated, firing.alerts.len()), ("pgvigil", 0, 1));
    assert_eq!(firing.group_key, "{}:{alertname=\"PostgresPrimaryUnreachable\", cluster=\"orders\"}");
    assert_eq!((alert.status, alert.ends_at), (Status::Firing, None), "the zero time is none");
    assert_eq!(alert.starts_at.to_string(), "2026-11-23T00:26:20.678156364Z");
    assert_eq!((alert.label("cluster"), alert.label("node"), alert.label("none")), (Some("orders"), Some("a"), None));
    assert_eq!(alert.fingerprint, "4371911888f02327");

    let resolved = Payload::parse(&recorded("one-resolved")).unwrap();
    let statuses: Vec<_> = resolved.alerts.iter().map(|alert| alert.status).collect();
    assert_eq!(statuses, [Status::Resolved, Status::Firing], "each by itself, though the whole is firing");
    assert_eq!(resolved.alerts[0].ends_at.map(|at| at.to_string()).as_deref(), Some("2026-11-23T00:26:21Z"));

    let truncated = Payload::parse(&recorded("truncated")).unwrap();
    assert_eq!((truncated.receiver.as_str(), truncated.truncated), ("small\\.receiver", 2));
    assert_eq!(parse(&with("/truncatedAlerts", json!(2.0))).unwrap().truncated, 2);
}

#[test]
fn an_event_is_the_same_however_it_is_told_and_another_when_it_changes() {
    let key = |payload: &Payload, index: usize| EventKey::of(payload, &payload.alerts[index]);
    let [firing, two, resolved] =
        ["firing", "two-firing", "one-resolved"].map(|name| Payload::parse(&recorded(name)).unwrap());
    assert_eq!(key(&firing, 0), key(&two, 0), "the same alert in a later notification");
    assert_eq!(key(&two, 1), key(&resolved, 1));
    assert_ne!(key(&two, 0), key(&resolved, 0), "its end is news");
    let elsewhere = with("/alerts/0/startsAt", json!("2026-11-23T02:26:20.678156364+02:00"));
    assert_eq!(key(&parse(&elsewhere).unwrap(), 0), key(&two, 0), "the same moment in another zone");
    for (pointer, value) in [
        ("/receiver", json!("other")),
        ("/groupKey", json!("{}:{}")),
        ("/alerts/0/fingerprint", json!("4371911888f02328")),
        ("/alerts/0/startsAt", json!("2026-11-23T00:26:20.678156365Z")),
        ("/alerts/0/status", json!("resolved")),
    ] {
        assert_ne!(key(&parse(&with(pointer, value)).unwrap(), 0), key(&two, 0), "{pointer}");
    }
    for (pointer, value) in [
        ("/alerts/0/endsAt", json!("2026-11-23T00:30:00Z")),
        ("/alerts/0/annotations/summary", json!("other words")),
        ("/status", json!("resolved")),
        ("/truncatedAlerts", json!(7)),
    ] {
        assert_eq!(key(&parse(&with(pointer, value)).unwrap(), 0), key(&two, 0), "{pointer} is not its identity");
    }
    let text = key(&two, 0).to_string();
    assert_eq!(bytes_of_hex(&text).map(EventKey), Some(key(&two, 0)));
    assert_eq!(serde_json::from_value::<EventKey>(json!(text)).unwrap(), key(&two, 0));
    let upper = text.to_uppercase();
    for bad in ["", "0", &text[1..], &*upper, &*"é".repeat(32)] {
        assert!(serde_json::from_value::<EventKey>(json!(bad)).is_err(), "{bad}");
    }
}

#[test]
fn what_newer_versions_add_harms_nobody() {
    let mut newer = with("/notification_reason", json!("repeat interval elapsed"));
    newer["routeLabels"] = json!({"team": "dba"});
    newer["alerts"][0]["silenceURL"] = json!([1, {"deep": null}]);
    assert_eq!(parse(&newer).unwrap(), parse(&good()).unwrap());
    for pointer in ["/-truncatedAlerts", "/-status", "/-commonLabels", "/-externalURL", "/alerts/0/-endsAt"] {
        assert!(parse(&with(pointer, Value::Null)).is_ok(), "{pointer} is not needed");
    }
    assert_eq!(parse(&with("/alerts", json!([]))).unwrap().alerts, [], "nothing to say is no error");
}

#[test]
fn what_is_no_payload_is_told_where_and_what_to_do() {
    let send = "send what Alertmanager's webhook_config sends";
    let text = |value: Value| value.to_string();
    let many_labels: BTreeMap<_, _> = (0..200).map(|n| (format!("l{n}"), "v")).collect();
    for (body, path, what) in [
        (String::new(), "the body is no JSON object", "EOF"),
        ("\0".to_owned(), "the body is no JSON object", "column 1"),
        ("[]".to_owned(), "the body is no JSON object", send),
        ("\"4\"".to_owned(), "the body is no JSON object", send),
        (text(good())[..500].to_owned(), "the body is no JSON object", "EOF"),
        (format!("{} {{}}", good()), "the body is no JSON object", "trailing"),
        ("[".repeat(100_000), "the body is no JSON object", "EOF"),
        ("{}".to_owned(), "version is missing", "remove `payload` from the webhook_config"),
        (text(with("/version", json!(4))), "version is 4,", "not \"4\""),
        (text(with("/version", json!("5"))), "version is \"5\"", "not \"4\""),
        (text(with("/version", json!("x".repeat(9000)))), "version is \"xxx", "…"),
        (text(with("/-receiver", Value::Null)), "the body: missing field `receiver`", send),
        (text(with("/receiver", json!("r".repeat(300)))), "receiver has 300 characters", "a shorter name"),
        (text(with("/groupKey", json!(null))), "groupKey: invalid type: null, expected a string", send),
        (text(with("/truncatedAlerts", json!(-1))), "truncatedAlerts: -1 is no count", send),
        (text(with("/truncatedAlerts", json!(1.5))), "truncatedAlerts: 1.5 is no count", send),
        (text(with("/alerts", json!({}))), "alerts: invalid type: map, expected a sequence", send),
        (text(with("/alerts", json!(vec![good()["alerts"][0].clone(); 3000]))), "alerts has 3000", "max_alerts"),
        (text(with("/alerts/1/status", json!("pending"))), "alerts[1].status: \"pending\" is neither", send),
        (text(with("/alerts/1/-labels", Value::Null)), "alerts[1]: missing field `labels`", send),
        (text(with("/alerts/1/labels/node", json!(1))), "alerts[1].labels.node: invalid type: integer", send),
        (text(with("/alerts/0/labels", json!(many_labels))), "alerts[0].labels has 200 labels", "relabel"),
        (text(with("/alerts/0/labels/node", json!("n".repeat(9000)))), "alerts[0].labels has 9", "relabel"),
        (text(with("/alerts/0/startsAt", json!("yesterday"))), "alerts[0].startsAt: \"yesterday\" is no time", send),
        (text(with("/alerts/0/startsAt", json!("2026-11-23T00:26:20"))), "alerts[0].startsAt:", "is no time"),
        (text(with("/alerts/0/startsAt", json!(ZERO))), "alerts[0].startsAt:", "no time at which an alert began"),
        (text(with("/alerts/0/endsAt", json!("2026-13-01T00:00:00Z"))), "alerts[0].endsAt:", "is no time"),
        (text(with("/alerts/0/fingerprint", json!(""))), "alerts[0].fingerprint: it has 0 characters", send),
        (text(with("/alerts/0/fingerprint", json!("f".repeat(65)))), "alerts[0].fingerprint: it has 65", send),
        (text(good()).replacen("\"receiver\"", "\"receiver\":\"twice\",\"receiver\"", 1), "duplicate field", send),
    ] {
        let error = match Payload::parse(body.as_bytes()) {
            Err(error) => error.to_string(),
            Ok(payload) => panic!("{body:.200} is read as {payload:?}"),
        };
        assert!(error.contains(path) && error.contains(what), "{body:.200}\n{error}");
        assert!(error.len() < 400 && !error.contains('\n'), "one sentence: {error}");
    }
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Payload::parse(&body);
    }

    #[test]
    fn one_byte_that_is_another_is_read_or_refused_in_a_sentence(at in 0usize..1300, byte in any::<u8>()) {
        let mut body = recorded("two-firing");
        body[at] = byte;
        if let Err(error) = Payload::parse(&body) {
            let error = error.to_string();
            prop_assert!(error.len() < 500 && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn parts_of_a_key_never_pass_for_each_other(a in "[a-c]{0,4}", b in "[a-c]{0,4}", c in "[a-c]{0,4}", d in "[a-c]{0,4}") {
        let mut payload = Payload::parse(&recorded("firing")).unwrap();
        let mut key = |receiver: &str, group: &str| {
            (payload.receiver, payload.group_key) = (receiver.to_owned(), group.to_owned());
            EventKey::of(&payload, &payload.alerts[0])
        };
        prop_assert_eq!(key(&a, &b) == key(&c, &d), (a, b) == (c, d));
    }
}
