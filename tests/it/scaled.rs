//! The shipped rules with every duration divided by one factor, so that minutes pass in seconds: for the live fault
//! matrix and for the replay of what it recorded. Nothing else in a rule is touched.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::fixture::ROOT;

/// Durations of the rules are divided by this: 1 m becomes 3 s.
pub const FACTOR: u64 = 20;
/// So often Prometheus scrapes and evaluates beside scaled rules.
pub const SCRAPE_MS: u64 = 1_000;
/// A window that holds fewer scrapes says nothing that can be trusted.
const LEAST_SCRAPES: u64 = 4;
/// The units of PromQL, in milliseconds; `ms` before `m`.
const UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
    ("y", 31_536_000_000),
];

/// The shipped rule files by name, as they are.
pub fn shipped() -> BTreeMap<String, Value> {
    let dir = Path::new(ROOT).join("alerts/rules");
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let parsed = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.file_name().unwrap().to_string_lossy().into_owned(), parsed)
        })
        .collect()
}

/// The shipped rule files with their durations divided.
pub fn shipped_scaled(factor: u64) -> Result<BTreeMap<String, Value>, String> {
    let scaled = |(name, file): (String, Value)| {
        let file = scaled(file, factor, SCRAPE_MS).map_err(|error| format!("alerts/rules/{name}: {error}"))?;
        Ok((name, file))
    };
    shipped().into_iter().map(scaled).collect()
}

/// Every rule of a file of rules.
pub fn rules(file: &Value) -> impl Iterator<Item = &Value> {
    let groups = file["groups"].as_array().into_iter().flatten();
    groups.flat_map(|group| group["rules"].as_array().into_iter().flatten())
}

/// Divides `for`, `keep_firing_for`, the evaluation interval and the durations in the expressions of a file of rules.
pub fn scaled(mut file: Value, factor: u64, scrape_ms: u64) -> Result<Value, String> {
    let groups = file["groups"].as_array_mut().ok_or("it has no groups")?;
    for group in groups {
        divide(group, "interval", factor)?;
        for rule in group["rules"].as_array_mut().into_iter().flatten() {
            let name = rule["alert"].as_str().or(rule["record"].as_str()).unwrap_or("a rule without a name").to_owned();
            let named = |error: String| format!("{name}: {error}");
            divide(rule, "for", factor).map_err(named)?;
            divide(rule, "keep_firing_for", factor).map_err(named)?;
            let expression = rule["expr"].as_str().ok_or_else(|| named("it has no expr".to_owned()))?;
            rule["expr"] = expression_scaled(expression, factor, scrape_ms).map_err(named)?.into();
        }
    }
    Ok(file)
}

fn divide(holder: &mut Value, key: &str, factor: u64) -> Result<(), String> {
    if let Some(text) = holder.get(key).and_then(Value::as_str) {
        let (milliseconds, rest) = duration(text).ok_or_else(|| format!("{key}: {text:?} is no duration"))?;
        if !rest.is_empty() {
            return Err(format!("{key}: {text:?} is no duration"));
        }
        holder[key] = written(milliseconds / factor).into();
    }
    Ok(())
}

/// An expression of PromQL with its ranges, resolutions and offsets divided.
fn expression_scaled(expression: &str, factor: u64, scrape_ms: u64) -> Result<String, String> {
    let mut scaled = String::new();
    let mut rest = expression;
    // Whether what comes next is how long an `offset` is.
    let mut is_offset = false;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' | '`' => quoted(rest, first).ok_or("a string does not end")?,
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '[' => {
                let length = rest.find(']').ok_or("a [ does not end")? + 1;
                scaled += &window_scaled(&rest[1..length - 1], factor, scrape_ms)?;
                rest = &rest[length..];
                continue;
            }
            '0'..='9' if is_offset => {
                let (milliseconds, after) = duration(rest).ok_or_else(|| format!("no duration: {rest:?}"))?;
                scaled += &written(milliseconds / factor);
                rest = after;
                is_offset = false;
                continue;
            }
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        is_offset = token.eq_ignore_ascii_case("offset")
            || is_offset && (token == "-" || first == '#' || first.is_whitespace());
        scaled += token;
        rest = after;
    }
    Ok(scaled)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.')
}

/// How long the string is that `text` begins with.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == quote && !is_escaped;
        is_escaped = *c == '\\' && quote != '`' && !is_escaped;
        ends
    });
    end.map(|(at, _)| at + 1)
}

/// What stands between the brackets of a range or a subquery.
fn window_scaled(text: &str, factor: u64, scrape_ms: u64) -> Result<String, String> {
    let (range, resolution) = text.split_once(':').map_or((text, None), |(range, step)| (range, Some(step.trim())));
    let whole = |text: &str| {
        let (milliseconds, rest) = duration(text.trim()).ok_or_else(|| format!("[{text}] is no duration"))?;
        if rest.is_empty() { Ok(milliseconds / factor) } else { Err(format!("[{text}] is no duration")) }
    };
    let milliseconds = whole(range)?;
    if milliseconds < LEAST_SCRAPES * scrape_ms {
        return Err(format!(
            "the window [{range}] becomes {}, which is under {LEAST_SCRAPES} scrapes: widen it or divide by less",
            written(milliseconds)
        ));
    }
    Ok(match resolution {
        None => format!("[{}]", written(milliseconds)),
        Some("") => format!("[{}:]", written(milliseconds)),
        Some(step) => format!("[{}:{}]", written(milliseconds), written(whole(step)?)),
    })
}

/// A duration, divided.
pub fn divided(text: &str, factor: u64) -> String {
    let (milliseconds, _) = duration(text).unwrap_or_else(|| panic!("{text:?} is no duration"));
    written(milliseconds / factor)
}

/// The duration in milliseconds that `text` begins with, and what comes after it.
fn duration(text: &str) -> Option<(u64, &str)> {
    let (mut sum, mut rest, mut any) = (0, text, false);
    while rest.starts_with(|c: char| c.is_ascii_digit()) {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let (unit, milliseconds) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
        sum += number.parse::<u64>().ok()? * milliseconds;
        (rest, any) = (&after[unit.len()..], true);
    }
    any.then_some((sum, rest))
}

/// As Prometheus reads it: whole seconds, or milliseconds.
fn written(milliseconds: u64) -> String {
    if milliseconds.is_multiple_of(1_000) { format!("{}s", milliseconds / 1_000) } else { format!("{milliseconds}ms") }
}

/// Writes files of rules where Prometheus and promtool read them: JSON is YAML.
pub fn write(files: &BTreeMap<String, Value>, dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    for (name, file) in files {
        std::fs::write(dir.join(name), serde_json::to_string_pretty(file).unwrap()).unwrap();
    }
}

/// The names of metrics, as Prometheus scrapes them, that rules name.
pub fn metrics(files: &BTreeMap<String, Value>) -> Vec<String> {
    let mut names = Vec::from(["up".to_owned()]);
    for rule in files.values().flat_map(rules) {
        let expression = rule["expr"].as_str().unwrap_or_default();
        let words = expression.split(|c: char| !is_word(c));
        names.extend(words.filter(|word| word.starts_with("pgvigil_") && !word.contains(':')).map(str::to_owned));
    }
    names.sort();
    names.dedup();
    names
}

/// A regular expression that matches exactly these names.
pub fn any_of(names: &[String]) -> String {
    let mut regex = String::new();
    for name in names {
        let _ = write!(regex, "{}{name}", if regex.is_empty() { "" } else { "|" });
    }
    regex
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_20(expression: &str) -> Result<String, String> {
        expression_scaled(expression, 20, SCRAPE_MS)
    }

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
            assert_eq!(at_20(shipped).as_deref(), Ok(expected), "{shipped}");
        }
    }

    #[test]
    fn a_window_under_four_scrapes_is_refused() {
        let refused = at_20("rate(x[1m])").unwrap_err();
        assert!(refused.contains("[1m] becomes 3s") && refused.contains("under 4 scrapes"), "{refused}");
        assert_eq!(at_20("rate(x[80s])").as_deref(), Ok("rate(x[4s])"));
        // What is no window may be as short as it comes.
        assert_eq!(at_20("x offset 1s").as_deref(), Ok("x offset 50ms"));
    }

    #[test]
    fn a_file_is_scaled_in_for_keep_interval_and_expr_alone() {
        let file: Value = serde_saphyr::from_str(
            "groups:\n- name: g\n  interval: 1m\n  rules:\n  - alert: A\n    expr: x > 5\n    for: 0s\n    \
             keep_firing_for: 3m\n    labels: {severity: none}\n    annotations: {description: 'for 5m [5m]'}\n",
        )
        .unwrap();
        let scaled = scaled(file.clone(), 20, SCRAPE_MS).unwrap();
        let (mut expected, group) = (file, "/groups/0");
        *expected.pointer_mut(&format!("{group}/interval")).unwrap() = "3s".into();
        *expected.pointer_mut(&format!("{group}/rules/0/for")).unwrap() = "0s".into();
        *expected.pointer_mut(&format!("{group}/rules/0/keep_firing_for")).unwrap() = "9s".into();
        assert_eq!(scaled, expected);
    }
}
