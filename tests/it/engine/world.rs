//! What is really so, and what the run has shown of it.

/// Picks what happens, out of so many; 0 is what should.
#[derive(Debug, Default)]
pub struct Chance {
    script: Vec<usize>,
    at: usize,
    /// Out of how many was picked so far.
    pub arities: Vec<usize>,
}

impl Chance {
    pub fn new(script: Vec<usize>) -> Self {
        Self { script, at: 0, arities: Vec::new() }
    }

    /// Beyond its script all is well.
    pub fn pick(&mut self, of: usize) -> usize {
        let picked = self.script.get(self.at).map_or(0, |number| number % of);
        self.at += 1;
        self.arities.push(of);
        picked
    }

    pub fn is_over(&self) -> bool {
        self.at >= self.script.len()
    }

    /// The script after this one, in the order of an odometer; `None` after the last.
    pub fn next(&self) -> Option<Vec<usize>> {
        let mut script: Vec<_> =
            self.arities.iter().enumerate().map(|(at, _)| self.script.get(at).copied().unwrap_or(0)).collect();
        for at in (0..script.len()).rev() {
            if script[at] + 1 < self.arities[at] {
                script[at] += 1;
                script.truncate(at + 1);
                return Some(script);
            }
        }
        None
    }
}

/// The old primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Old {
    /// Nobody can log in; what is connected may commit still.
    Sick,
    /// It does its work.
    Well,
    /// No process of it is left.
    Off,
}

/// What is really so with a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deed {
    /// How often it was begun.
    pub begun: u32,
    /// Whether it has taken effect.
    pub done: bool,
    /// Whether it may take effect yet, though it is said to be over.
    pub late: bool,
    /// Whether its probe said yes.
    pub proven: bool,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct World {
    pub old: Old,
    /// The candidate accepts writes.
    pub promoted: bool,
    /// A person has promoted another standby.
    pub other: bool,
    pub deeds: Vec<Deed>,
    /// The version of the plan that a look finds.
    pub version: u32,
}

impl World {
    pub fn new(steps: usize) -> Self {
        Self { old: Old::Sick, promoted: false, other: false, deeds: vec![Deed::default(); steps], version: 0 }
    }
}
