//! Alert rules and routes with every duration divided by one factor, so that minutes pass in seconds. Nothing else in them
//! is touched: no threshold, no label, no wait of a server.

use std::time::Duration;

use serde_json::Value;

/// A window that holds fewer scrapes says nothing that can be trusted.
const LEAST_SCRAPES: u64 = 4;
/// The units of Prometheus, in milliseconds; `ms` before `m`.
const UNITS: [(&str, u64); 7] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
    ("y", 31_536_000_000),
];

/// Why a file cannot be scaled.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScaleError {
    /// It is not YAML, or not what it should be.
    #[error("{0}")]
    Form(String),
    /// What should be a duration is none.
    #[error("{what}: {text:?} is no duration")]
    Duration {
        /// Where it stands.
        what: String,
        /// What stands there.
        text: String,
    },
    /// A window would hold too few scrapes.
    #[error(
        "{what}: the window [{text}] becomes {becomes}, which is under {LEAST_SCRAPES} scrapes: widen it or divide by less"
    )]
    Window {
        /// The rule.
        what: String,
        /// The window as it stands.
        text: String,
        /// What it would be.
        becomes: String,
    },
}

/// How much shorter time is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// What durations are divided by.
    pub factor: u32,
    /// Between two scrapes.
    pub scrape: Duration,
}

impl Scale {
    /// A duration that stands in no file.
    pub fn of(self, duration: Duration) -> Duration {
        duration / self.factor
    }

    /// A file of rules, YAML, with `for`, `keep_firing_for`, the intervals of its groups and the ranges, resolutions and
    /// offsets of its expressions divided.
    pub fn rules(self, yaml: &str) -> Result<Value, ScaleError> {
        let mut file = parsed(yaml)?;
        for group in list(&mut file, "groups") {
            self.divide(group, "interval")?;
            for rule in list(group, "rules") {
                self.divide(rule, "for")?;
                self.divide(rule, "keep_firing_for")?;
                let name = name_of(rule);
                let expression =
                    rule.get_mut("expr").ok_or_else(|| ScaleError::Form(format!("{name}: it has no expr")))?;
                let scaled = self.expression(&name, expression.as_str().unwrap_or_default())?;
                *expression = scaled.into();
            }
        }
        Ok(file)
    }

    /// A configuration of Alertmanager, YAML, with `group_wait`, `group_interval` and `repeat_interval` of its routes divided.
    pub fn routes(self, yaml: &str) -> Result<Value, ScaleError> {
        let mut file = parsed(yaml)?;
        if let Some(route) = file.get_mut("route") {
            self.route(route)?;
        }
        Ok(file)
    }

    fn route(self, route: &mut Value) -> Result<(), ScaleError> {
        for key in ["group_wait", "group_interval", "repeat_interval"] {
            self.divide(route, key)?;
        }
        list(route, "routes").iter_mut().try_for_each(|route| self.route(route))
    }

    fn divide(self, holder: &mut Value, key: &str) -> Result<(), ScaleError> {
        let name = name_of(holder);
        if let Some(value) = holder.get_mut(key) {
            let text = value.as_str().unwrap_or_default();
            let milliseconds = self.divided(text).ok_or_else(|| no_duration(&format!("{name}: {key}"), text))?;
            *value = written(milliseconds).into();
        }
        Ok(())
    }

    /// A duration divided, in milliseconds; `None` if the text is not one and nothing else.
    fn divided(self, text: &str) -> Option<u64> {
        let (milliseconds, rest) = duration(text.trim())?;
        rest.is_empty().then(|| milliseconds / u64::from(self.factor.max(1)))
    }

    /// An expression of PromQL with its ranges, resolutions and offsets divided.
    fn expression(self, rule: &str, expression: &str) -> Result<String, ScaleError> {
        let mut scaled = String::new();
        let mut rest = expression;
        // Whether what comes next is how long an `offset` is.
        let mut is_offset = false;
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '"' | '\'' | '`' => quoted(rest, first),
                '#' => rest.find('\n').unwrap_or(rest.len()),
                '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
                '0'..='9' if is_offset => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                _ => first.len_utf8(),
            };
            let (token, after) = rest.split_at(length);
            match first {
                '[' => scaled += &self.window(rule, token.trim_start_matches('[').trim_end_matches(']'))?,
                '0'..='9' if is_offset => {
                    scaled +=
                        &written(self.divided(token).ok_or_else(|| no_duration(&format!("{rule}: offset"), token))?);
                }
                _ => scaled += token,
            }
            let goes_on = token == "-" || first == '#' || first.is_whitespace();
            is_offset = token.eq_ignore_ascii_case("offset") || is_offset && goes_on;
            rest = after;
        }
        Ok(scaled)
    }

    /// What stands between the brackets of a range or a subquery.
    fn window(self, rule: &str, text: &str) -> Result<String, ScaleError> {
        let whole = |part: &str| self.divided(part).ok_or_else(|| no_duration(rule, &format!("[{text}]")));
        let (range, resolution) = text.split_once(':').map_or((text, None), |(range, step)| (range, Some(step.trim())));
        let milliseconds = whole(range)?;
        if u128::from(milliseconds) < u128::from(LEAST_SCRAPES) * self.scrape.as_millis() {
            let (what, text, becomes) = (rule.to_owned(), text.to_owned(), written(milliseconds));
            return Err(ScaleError::Window { what, text, becomes });
        }
        Ok(match resolution {
            None => format!("[{}]", written(milliseconds)),
            Some("") => format!("[{}:]", written(milliseconds)),
            Some(step) => format!("[{}:{}]", written(milliseconds), written(whole(step)?)),
        })
    }
}

fn parsed(yaml: &str) -> Result<Value, ScaleError> {
    serde_saphyr::from_str(yaml).map_err(|error| ScaleError::Form(error.to_string()))
}

/// The items of a list of this name; none if there is no such list.
fn list<'a>(holder: &'a mut Value, name: &str) -> &'a mut [Value] {
    holder.get_mut(name).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

/// What a rule, a group or a route is called.
fn name_of(holder: &Value) -> String {
    let named = ["alert", "record", "name", "receiver"].iter().find_map(|key| holder.get(key)?.as_str());
    named.unwrap_or("one without a name").to_owned()
}

fn no_duration(what: &str, text: &str) -> ScaleError {
    ScaleError::Duration { what: what.to_owned(), text: text.to_owned() }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.')
}

/// How long the string is that `text` begins with.
fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == quote && !is_escaped;
        is_escaped = *c == '\\' && quote != '`' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// The duration in milliseconds that `text` begins with, and what comes after it.
fn duration(text: &str) -> Option<(u64, &str)> {
    let (mut sum, mut rest, mut any) = (0_u64, text, false);
    while rest.starts_with(|c: char| c.is_ascii_digit()) {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (after, milliseconds) = UNITS.iter().find_map(|(unit, of)| Some((after.strip_prefix(unit)?, of)))?;
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(*milliseconds)?)?;
        (rest, any) = (after, true);
    }
    any.then_some((sum, rest))
}

/// As Prometheus and Alertmanager read it: whole seconds, or milliseconds.
fn written(milliseconds: u64) -> String {
    if milliseconds.is_multiple_of(1_000) { format!("{}s", milliseconds / 1_000) } else { format!("{milliseconds}ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_20: Scale = Scale { factor: 20, scrape: Duration::from_secs(1) };

    #[test]
    fn every_duration_of_an_expression_is_divided_and_nothing_else() {
        for (shipped, expected) in [
            ("rate(x[5m]) > 300", "rate(x[15s]) > 300"),
            ("max_over_time(x[1h30m:2m]) offset 10m", "max_over_time(x[270s:6s]) offset 30s"),
            ("x offset -15s unless y{z=\"[5m] offset 5m\"}", "x offset -750ms unless y{z=\"[5m] offset 5m\"}"),
            ("changes(x[15m:]) # over [15m]\n > 5", "changes(x[45s:]) # over [15m]\n > 5"),
            ("x{a='it\\'s [5m]'} * 5 + sum_over_time(y[1d])", "x{a='it\\'s [5m]'} * 5 + sum_over_time(y[4320s])"),
            ("cluster:x:max5m == 60", "cluster:x:max5m == 60"),
            ("last_over_time(offset_5m[5m] offset\n 5m)", "last_over_time(offset_5m[15s] offset\n 15s)"),
        ] {
            assert_eq!(AT_20.expression("r", shipped).as_deref(), Ok(expected), "{shipped}");
        }
    }

    #[test]
    fn a_window_under_four_scrapes_is_refused() {
        let refused = AT_20.expression("R", "rate(x[1m])").unwrap_err().to_string();
        assert_eq!(refused, "R: the window [1m] becomes 3s, which is under 4 scrapes: widen it or divide by less");
        assert_eq!(AT_20.expression("R", "rate(x[80s])").as_deref(), Ok("rate(x[4s])"));
        // What is no window may be as short as it comes.
        assert_eq!(AT_20.expression("R", "x offset 1s").as_deref(), Ok("x offset 50ms"));
    }

    #[test]
    fn rules_are_scaled_in_for_keep_interval_and_expr_alone() {
        let yaml = "groups:\n- name: g\n  interval: 1m\n  rules:\n  - alert: A\n    expr: x > 5\n    for: 0s\n    \
                    keep_firing_for: 3m\n    labels: {severity: none}\n    annotations: {description: 'for 5m [5m]'}\n";
        let mut expected: Value = serde_saphyr::from_str(yaml).unwrap();
        for (at, value) in [("interval", "3s"), ("rules/0/for", "0s"), ("rules/0/keep_firing_for", "9s")] {
            *expected.pointer_mut(&format!("/groups/0/{at}")).unwrap() = value.into();
        }
        assert_eq!(AT_20.rules(yaml), Ok(expected));
    }

    #[test]
    fn routes_are_scaled_at_every_depth() {
        let yaml = "route: {receiver: r, group_wait: 30s, routes: [{group_wait: 0s, repeat_interval: 4h, matchers: ['a=\"5m\"']}]}";
        let expected = "route: {receiver: r, group_wait: 1500ms, routes: [{group_wait: 0s, repeat_interval: 720s, matchers: ['a=\"5m\"']}]}";
        assert_eq!(AT_20.routes(yaml), Ok(serde_saphyr::from_str(expected).unwrap()));
    }

    #[test]
    fn what_is_no_duration_is_named() {
        let refused = |yaml| AT_20.rules(yaml).unwrap_err().to_string();
        assert_eq!(refused("groups: [{rules: [{alert: A, expr: x, for: soon}]}]"), "A: for: \"soon\" is no duration");
        assert_eq!(refused("groups: [{rules: [{alert: A, expr: 'x[five]'}]}]"), "A: \"[five]\" is no duration");
        assert_eq!(refused("groups: [{rules: [{alert: A, expr: 'x offset 5'}]}]"), "A: offset: \"5\" is no duration");
        assert_eq!(refused("groups: [{rules: [{alert: A}]}]"), "A: it has no expr");
    }
}
