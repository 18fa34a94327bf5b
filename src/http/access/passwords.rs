//! Passwords against bcrypt hashes: off the async threads, one at a time, and each once. A name that is nobody's costs as much as one
//! that is somebody's.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::tokens::Hasher;
use crate::config::web::bcrypt_cost;
use crate::config::{Secret, Web};

/// Wrong passwords that are remembered, so that a client with an old one costs nothing.
const WRONG_KEPT: usize = 100;
/// Checks that may wait for their turn; more are turned away, for they would come too late.
const MOST_WAITING: usize = 32;
/// The tail of a hash that no password is known to have.
const NOBODYS: &str = "7EqJtq98hPqEX7fNZaFWoOhi5B0a1sQqYkJxnN8Xq1zG0vS1VvZ6K";

/// Whether a password was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Checked {
    Right,
    Wrong,
    /// Too many are waiting to be checked.
    Busy,
}

/// What was checked before.
pub(in crate::http) struct Passwords {
    hasher: Hasher,
    /// One check at a time: it is all computing, and servers are to be watched meanwhile.
    turn: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// At most one a user and password hash.
    right: HashSet<Vec<u8>>,
    wrong: VecDeque<Vec<u8>>,
}

impl Passwords {
    pub(in crate::http) fn new(hasher: Hasher) -> Self {
        let (turn, waiting) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(MOST_WAITING)));
        Self { hasher, turn, waiting, known: Mutex::default() }
    }

    /// Forgets what was checked against hashes that may be no more.
    pub(in crate::http) fn forget(&self) {
        *self.lock() = Known::default();
    }

    /// Whether `password` is that of `user`.
    pub(in crate::http) async fn check(&self, web: &Web, user: &str, password: &str) -> Checked {
        let hash = match web.users.get(user) {
            Some(hash) => hash.clone(),
            None => self.nobodys(web, user),
        };
        let key = self.hasher.hash(&[user, hash.reveal(), password]).as_ref().to_vec();
        if let Some(checked) = self.remembered(&key) {
            return checked;
        }
        let Ok(_waiting) = self.waiting.clone().try_acquire_owned() else { return Checked::Busy };
        let Ok(turn) = self.turn.clone().acquire_owned().await else { return Checked::Busy };
        // Somebody with the same password may have had a turn meanwhile.
        if let Some(checked) = self.remembered(&key) {
            return checked;
        }
        let given = Secret::new(password);
        let check = tokio::task::spawn_blocking(move || {
            // The turn ends with the check, even if nobody waits for it any more.
            let _turn = turn;
            bcrypt::verify(given.reveal(), hash.reveal()).unwrap_or(false)
        });
        let right = check.await.unwrap_or(false) && web.users.contains_key(user);
        self.remember(key, right);
        if right { Checked::Right } else { Checked::Wrong }
    }

    /// A hash for a name that is nobody's, as costly as that of one of the users, and always of the same one.
    fn nobodys(&self, web: &Web, user: &str) -> Secret {
        let costs: Vec<u32> = web.users.values().filter_map(|hash| bcrypt_cost(hash.reveal())).collect();
        let drawn = self.hasher.hash(&["nobody", user]).as_ref().first().copied().unwrap_or(0);
        let cost = costs.get(usize::from(drawn) % costs.len().max(1)).copied().unwrap_or(10);
        Secret::new(format!("$2y${cost:02}${NOBODYS}"))
    }

    fn remembered(&self, key: &[u8]) -> Option<Checked> {
        let known = self.lock();
        if known.right.contains(key) {
            return Some(Checked::Right);
        }
        known.wrong.iter().any(|wrong| wrong == key).then_some(Checked::Wrong)
    }

    fn remember(&self, key: Vec<u8>, right: bool) {
        let mut known = self.lock();
        if right {
            known.right.insert(key);
        } else {
            known.wrong.push_back(key);
            if known.wrong.len() > WRONG_KEPT {
                known.wrong.pop_front();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn web_of(users: &[(&str, &str, u32)]) -> Web {
        // As htpasswd writes it.
        let hash = |password: &str, cost| Secret::new(bcrypt::hash(password, cost).unwrap().replace("$2b$", "$2y$"));
        let users = users.iter().map(|(name, password, cost)| ((*name).to_owned(), hash(password, *cost)));
        Web { users: users.collect(), ..Web::default() }
    }

    fn passwords() -> Passwords {
        Passwords::new(Hasher::new().unwrap())
    }

    async fn time(passwords: &Passwords, web: &Web, user: &str, password: &str) -> Duration {
        let began = Instant::now();
        passwords.check(web, user, password).await;
        began.elapsed()
    }

    #[tokio::test]
    async fn a_password_is_right_for_its_user_alone() {
        let (web, passwords) = (web_of(&[("ann", "open", 4), ("bob", "sesame", 4)]), passwords());
        for _ in 0..2 {
            assert_eq!(passwords.check(&web, "ann", "open").await, Checked::Right);
            assert_eq!(passwords.check(&web, "bob", "sesame").await, Checked::Right);
            for (user, password) in [("ann", "sesame"), ("bob", "open"), ("ann", ""), ("", "open"), ("eve", "open")] {
                assert_eq!(passwords.check(&web, user, password).await, Checked::Wrong, "{user} {password}");
            }
        }
        let other = web_of(&[("ann", "new", 4)]);
        assert_eq!(passwords.check(&other, "ann", "open").await, Checked::Wrong);
        assert_eq!(passwords.check(&other, "ann", "new").await, Checked::Right);
    }

    #[tokio::test]
    async fn nobody_costs_as_much_as_somebody_and_each_password_once() {
        let (web, passwords) = (web_of(&[("ann", "open", 9)]), passwords());
        assert_eq!(bcrypt_cost(passwords.nobodys(&web, "eve").reveal()), Some(9));
        bcrypt::verify("x", passwords.nobodys(&web, "eve").reveal()).unwrap();
        let mut times = Vec::new();
        for turn in 0..5 {
            let password = format!("guess {turn}");
            times
                .push((time(&passwords, &web, "ann", &password).await, time(&passwords, &web, "eve", &password).await));
        }
        let somebody = times.iter().map(|(somebody, _)| *somebody).min().unwrap();
        let nobody = times.iter().map(|(_, nobody)| *nobody).min().unwrap();
        assert!(nobody > somebody / 3 && somebody > nobody / 3, "{nobody:?} {somebody:?}");
        let again = time(&passwords, &web, "ann", "guess 4").await.min(time(&passwords, &web, "ann", "guess 3").await);
        assert!(again < somebody / 3, "{again:?} {somebody:?}");
    }

    #[tokio::test]
    async fn wrong_ones_push_no_right_one_out_and_do_not_pile_up() {
        let (web, passwords) = (web_of(&[("ann", "open", 4)]), passwords());
        assert_eq!(passwords.check(&web, "ann", "open").await, Checked::Right);
        for guess in 0..(WRONG_KEPT + 10) {
            passwords.check(&web, "ann", &guess.to_string()).await;
        }
        let kept = {
            let known = passwords.lock();
            (known.right.len(), known.wrong.len())
        };
        assert_eq!(kept, (1, WRONG_KEPT));
        assert_eq!(passwords.check(&web, "ann", "open").await, Checked::Right);
    }

    #[tokio::test]
    async fn too_many_at_once_are_turned_away_and_known_ones_are_not() {
        let (web, passwords) = (Arc::new(web_of(&[("ann", "open", 8)])), Arc::new(passwords()));
        assert_eq!(passwords.check(&web, "ann", "open").await, Checked::Right);
        let guesses = (0..100).map(|guess| {
            let (web, passwords) = (web.clone(), passwords.clone());
            tokio::spawn(async move { passwords.check(&web, "ann", &guess.to_string()).await })
        });
        let guesses: Vec<_> = guesses.collect();
        tokio::task::yield_now().await;
        assert_eq!(passwords.check(&web, "ann", "open").await, Checked::Right);
        let mut busy = 0;
        for guess in guesses {
            busy += usize::from(guess.await.unwrap() == Checked::Busy);
        }
        assert!((1..100).contains(&busy), "{busy}");
    }
}
