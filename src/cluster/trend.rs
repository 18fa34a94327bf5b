//! The lag of a standby over the last minutes, for a page to draw: one point each few seconds, known or not. What is not known is a
//! gap and never 0.

use std::collections::VecDeque;
use std::time::Duration;

use super::lag::StandbyLag;
use crate::clock::{Moment, Mono};

/// So far back it goes.
pub const SPAN: Duration = Duration::from_secs(600);
/// Between two points, unless ticks come more seldom.
pub const EACH: Duration = Duration::from_secs(4);
/// No node has more points.
const MOST: usize = 200;

/// The worst of the ticks of one interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When the interval began.
    pub at: Moment,
    /// Behind in what is received, in seconds; `None`: at some tick it was not known.
    pub received: Option<f64>,
    /// Likewise in what is replayed.
    pub replayed: Option<f64>,
}

/// The points of one node, the oldest first. While it is the primary there are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trend(VecDeque<Point>);

impl Trend {
    /// Takes in a tick. `lag`: that of a standby; `None` for the primary.
    pub fn tick(&mut self, lag: Option<&StandbyLag>, now: Moment) {
        let first = now.mono.minus(SPAN);
        while self.0.len() >= MOST || self.0.front().is_some_and(|oldest| oldest.at.mono < first) {
            self.0.pop_front();
        }
        let Some(lag) = lag else { return };
        let (received, replayed) = (lag.received.seconds.ok(), lag.replayed.seconds.ok());
        match self.0.back_mut().filter(|newest| now.mono.since(newest.at.mono) < EACH) {
            Some(newest) => {
                newest.received = worst(newest.received, received);
                newest.replayed = worst(newest.replayed, replayed);
            }
            None => self.0.push_back(Point { at: now, received, replayed }),
        }
    }

    /// The points since `first`, the oldest first.
    pub fn since(&self, first: Mono) -> impl Iterator<Item = &Point> {
        self.0.iter().filter(move |point| point.at.mono >= first)
    }
}

fn worst(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one?.max(other?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Wall;
    use crate::cluster::lag::{StageLag, Unknown};

    fn at(seconds: f64) -> Moment {
        Moment { mono: Mono::from_nanos((seconds * 1e9) as u64), wall: Wall::from_seconds(seconds) }
    }

    fn lag(seconds: Result<f64, Unknown>) -> StandbyLag {
        let stage = StageLag { seconds, bytes: None };
        StandbyLag { received: stage, replayed: stage }
    }

    fn replayed(trend: &Trend) -> Vec<Option<f64>> {
        trend.since(Mono::default()).map(|point| point.replayed).collect()
    }

    #[test]
    fn a_point_is_the_worst_of_its_ticks_and_one_that_is_not_known_hides_it() {
        let mut trend = Trend::default();
        for (second, seconds) in [(1.0, Ok(0.0)), (2.0, Ok(3.0)), (4.0, Ok(1.0)), (5.0, Ok(2.0)), (6.0, Ok(1.0))] {
            trend.tick(Some(&lag(seconds)), at(1000.0 + second));
        }
        assert_eq!(replayed(&trend), [Some(3.0), Some(2.0)]);
        trend.tick(Some(&lag(Err(Unknown::Position))), at(1007.0));
        trend.tick(Some(&lag(Ok(9.0))), at(1008.0));
        assert_eq!(replayed(&trend), [Some(3.0), None]);
        trend.tick(None, at(1020.0));
        assert_eq!(replayed(&trend).len(), 2, "a primary has none");
    }

    #[test]
    fn it_is_bounded_in_number_and_in_age() {
        let mut trend = Trend::default();
        for tick in 0..20_000 {
            trend.tick(Some(&lag(Ok(0.0))), at(1000.0 + f64::from(tick) * 0.1));
        }
        let points = replayed(&trend).len();
        assert!((140..=MOST).contains(&points), "{points}");
        trend.tick(Some(&lag(Ok(0.0))), at(9000.0));
        assert_eq!(replayed(&trend).len(), 1);
    }
}
