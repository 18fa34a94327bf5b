//! Numbers and times for people.

use crate::clock::Wall;
pub use crate::status::text::bytes;

/// A duration, as exact as somebody needs it.
pub fn seconds(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..120 => format!("{seconds:.0} s"),
        120..7_200 => format!("{} min {} s", whole / 60, whole % 60),
        7_200..172_800 => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} days", whole / 86_400),
    }
}

/// The time of the day in UTC.
pub fn time(wall: Wall) -> String {
    let of_day = (wall.as_seconds().max(0.0) as u64) % 86_400;
    format!("{:02}:{:02}:{:02} UTC", of_day / 3_600, of_day % 3_600 / 60, of_day % 60)
}

/// One and many: `1 node`, `2 nodes`.
pub fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_say_their_unit() {
        let shown = [0.0, 9.94, 12.4, 119.0, 125.0, 7_261.0, 200_000.0].map(seconds);
        assert_eq!(shown, ["0.0 s", "9.9 s", "12 s", "119 s", "2 min 5 s", "2 h 1 min", "2 days"]);
        assert_eq!([0, 1023, 1 << 20, u64::MAX].map(bytes), ["0 B", "1023 B", "1.0 MiB", "16777216.0 TiB"]);
        assert_eq!(time(Wall::from_seconds(1_795_418_287.6)), "07:18:07 UTC");
        assert_eq!((count(1, "node"), count(0, "node")), ("1 node".to_owned(), "0 nodes".to_owned()));
    }
}
