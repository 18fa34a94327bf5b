//! Durations as people write them: `100ms`, `1.5s`, `2m`, `1h`.

use std::time::Duration;

/// Reads a duration. The error ends the sentence "sample_interval …".
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = text.split_at(digits);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "" if number.parse::<f64>().is_ok() => return Err(format!("has no unit: write {number}s or {number}ms")),
        _ => return Err("is not a duration such as 500ms, 2s or 1m".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| "is not a duration such as 500ms, 2s or 1m".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| "is too long to be a duration".to_owned())
}

/// Reads a duration that must lie within bounds, both allowed.
pub fn within(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    match parse(text)? {
        short if short < least => Err(format!("is too short: the least is {}", show(least))),
        long if long > most => Err(format!("is too long: the most is {}", show(most))),
        duration => Ok(duration),
    }
}

/// A duration as it would be written, in its largest whole unit.
pub fn show(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis >= 3_600_000 && millis % 3_600_000 == 0 => format!("{}h", millis / 3_600_000),
        millis if millis >= 60_000 && millis % 60_000 == 0 => format!("{}m", millis / 60_000),
        millis if millis >= 1_000 && millis % 1_000 == 0 => format!("{}s", millis / 1_000),
        millis => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, millis) in
            [("100ms", 100), ("1s", 1_000), ("1.5s", 1_500), ("2m", 120_000), ("1h", 3_600_000), (" 3 s ", 3_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1", "-1s", "1d", "1 s 2", "1..2s", "1e9s", "9999999999999999999999h", "∞s"] {
            assert!(parse(text).is_err(), "{text}");
        }
        for text in ["100ms", "90s", "2m", "1h", "1500ms"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
    }
}
