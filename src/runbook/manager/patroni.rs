//! Patroni: what its REST API says of its cluster, what it may be asked, and what its answers mean. Its words are for people; who leads is
//! taken from `/cluster` alone, since 200 is said of another candidate too, and 503 while it still goes on.

pub mod client;

use std::time::Duration;

use serde::Deserialize;

/// What `/cluster` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct View {
    /// Who belongs to it.
    pub members: Vec<Member>,
    /// Whether somebody told it to do nothing by itself.
    #[serde(default)]
    pub pause: bool,
    /// A switchover that somebody planned.
    #[serde(default)]
    pub scheduled_switchover: Option<serde_json::Value>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// Its name, which is what it is asked for by.
    pub name: String,
    /// `leader`, `standby_leader`, `replica`, `sync_standby`, or one of later versions.
    pub role: String,
    /// `running`, `streaming`, `starting`, `stopped` …; empty if it is not known.
    #[serde(default)]
    pub state: String,
    /// Its timeline, if it is known.
    #[serde(default)]
    pub timeline: Option<u64>,
    /// Where its server listens.
    #[serde(default)]
    pub host: Option<String>,
    /// On which port.
    #[serde(default)]
    pub port: Option<u16>,
    /// What its config says of it.
    #[serde(default)]
    pub tags: Tags,
}

/// What a member's config says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Tags {
    /// It must not be promoted.
    #[serde(default)]
    pub nofailover: bool,
}

/// How fast it is, as `/config` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Timing {
    /// How long its leader's key lives, in seconds.
    #[serde(default = "default_ttl")]
    pub ttl: u32,
    /// Between two of its rounds, in seconds.
    #[serde(default = "default_loop_wait")]
    pub loop_wait: u32,
}

const fn default_ttl() -> u32 {
    30
}

const fn default_loop_wait() -> u32 {
    10
}

impl Default for Timing {
    fn default() -> Self {
        Self { ttl: default_ttl(), loop_wait: default_loop_wait() }
    }
}

impl Timing {
    /// How long it may be at a failover of its own before anybody else does something.
    pub fn wait(self) -> Duration {
        Duration::from_secs(u64::from(self.ttl) + 2 * u64::from(self.loop_wait))
    }

    /// How long its API waits for what it was asked before it says that it does not know, with a little for the way.
    pub fn patience(self) -> Duration {
        Duration::from_secs(2 * u64::from(self.loop_wait.max(10)) + 5)
    }
}

impl Member {
    /// Whether it leads, and its server accepts writes as far as Patroni knows.
    fn leads(&self) -> bool {
        self.role == "leader" && self.state == "running"
    }
}

impl View {
    /// Who leads, in whatever state.
    pub fn leader(&self) -> Option<&Member> {
        self.members.iter().find(|member| matches!(member.role.as_str(), "leader" | "standby_leader"))
    }

    /// Who leads and accepts writes, as far as Patroni knows.
    pub fn running_leader(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.leads())
    }

    /// The newest timeline that a member has.
    fn timeline(&self) -> Option<u64> {
        self.members.iter().filter_map(|member| member.timeline).max()
    }

    /// The member whose server is this node's: by its name, else by where other servers reach it.
    pub fn member_of(&self, node: &str, address: Option<&str>) -> Option<&Member> {
        let by_name = self.members.iter().find(|member| member.name == node);
        by_name.or_else(|| {
            let (host, port) = address?.rsplit_once(':')?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let is_there = |member: &&Member| {
                member.host.as_deref() == Some(host) && member.port.is_some_and(|it| it.to_string() == port)
            };
            self.members.iter().find(is_there)
        })
    }

    /// Why a switchover from `leader` to `candidate` is not to be asked for.
    pub fn forbids_switchover(&self, leader: &str, candidate: &str) -> Option<String> {
        match self.leader() {
            None => return Some("nobody leads: a switchover has nobody to switch from".to_owned()),
            Some(there) if there.name != leader => {
                return Some(format!("{} leads by now, and not {leader}", there.name));
            }
            Some(there) if there.role == "standby_leader" => {
                return Some(format!("{leader} leads a standby cluster, whose primary is elsewhere"));
            }
            Some(_) => {}
        }
        self.forbids_candidate(candidate)
    }

    /// Why a failover to `candidate` is not to be asked for. Patroni itself then looks neither at lag nor at timelines: a person decides.
    pub fn forbids_failover(&self, candidate: &str) -> Option<String> {
        match self.leader() {
            Some(there) if there.leads() => {
                Some(format!("{} leads and runs: ask for a switchover instead", there.name))
            }
            _ => self.forbids_candidate(candidate),
        }
    }

    fn forbids_candidate(&self, candidate: &str) -> Option<String> {
        if self.pause {
            return Some("Patroni is paused: somebody works there; end that with patronictl resume".to_owned());
        }
        if self.scheduled_switchover.is_some() {
            return Some("a switchover is scheduled: let it pass, or take it back with patronictl flush".to_owned());
        }
        match self.members.iter().find(|member| member.name == candidate) {
            None => Some(format!("{candidate} is no member")),
            Some(member) if member.tags.nofailover => Some(format!("{candidate} is tagged nofailover")),
            Some(member) if matches!(member.role.as_str(), "leader" | "standby_leader") => {
                Some(format!("{candidate} leads already"))
            }
            Some(member) if !matches!(member.state.as_str(), "running" | "streaming" | "in archive recovery") => Some(
                format!("{candidate} is {}", if member.state.is_empty() { "in no known state" } else { &member.state }),
            ),
            Some(_) => None,
        }
    }
}

/// What Patroni says before it is asked for something, with who our nodes are to it.
#[derive(Clone, Debug)]
pub struct Managed {
    /// What `/cluster` says, or why it is not known.
    pub view: Result<View, String>,
    /// For how long it may act itself when its leader is gone; `None` if that is not known.
    pub wait: Option<Duration>,
    /// The member that is the primary in question.
    pub leader: Option<String>,
    /// The member that is the candidate.
    pub candidate: Option<String>,
}

/// What the answer to a switchover or failover means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done, for the candidate or for another: `/cluster` says who.
    Done,
    /// It is planned for later. pgvigil asks for no such thing.
    Scheduled,
    /// It was not done, and will not be.
    Refused(String),
    /// Nobody knows: it may be under way.
    Unclear(String),
}

/// Judges an answer by its status.
pub fn answer(status: u16, word: &str) -> Answer {
    let said = || if word.is_empty() { format!("status {status}") } else { format!("{word} ({status})") };
    match status {
        200 => Answer::Done,
        202 => Answer::Scheduled,
        400..=499 => Answer::Refused(said()),
        _ => Answer::Unclear(said()),
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The candidate leads.
    Done {
        /// Its timeline.
        timeline: u64,
    },
    /// Another one leads.
    Instead {
        /// Who.
        leader: String,
    },
    /// It was not done, and will not be.
    Refused(String),
    /// It was asked for, and nobody else than before leads. It may still happen: nothing else is to be done until a person has looked.
    Unclear(String),
}

/// What a look at `/cluster` says of a change that was asked for, `before` which it said that; `None`: nothing yet. Who holds the leader's
/// key is called leader at once, with what was known of it as a replica: only a newer timeline says that it was promoted.
pub fn judge(view: &View, before: &View, candidate: &str) -> Option<Outcome> {
    let leader = view.running_leader()?;
    let timeline = leader.timeline.filter(|timeline| before.timeline().is_some_and(|before| *timeline > before))?;
    match leader.name.as_str() {
        name if before.leader().is_some_and(|before| before.name == name) => None,
        name if name == candidate => Some(Outcome::Done { timeline }),
        name => Some(Outcome::Instead { leader: name.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Patroni 3.0.2 said it, with another port.
    const CLUSTER: &str = r#"{"members": [
        {"name": "a", "role": "leader", "state": "running", "api_url": "http://127.0.0.1:8008/patroni", "host": "127.0.0.1", "port": 5432, "timeline": 1},
        {"name": "b", "role": "replica", "state": "streaming", "api_url": "http://127.0.0.1:8009/patroni", "host": "127.0.0.1", "port": 5433, "timeline": 1, "lag": 0}]}"#;

    fn view(change: impl FnOnce(&mut View)) -> View {
        let mut view: View = serde_json::from_str(CLUSTER).unwrap();
        change(&mut view);
        view
    }

    #[test]
    fn nothing_is_asked_that_should_not_be() {
        let ask = |change: fn(&mut View)| view(change).forbids_switchover("a", "b").unwrap_or_default();
        assert_eq!(ask(|_| {}), "");
        assert!(ask(|view| view.pause = true).starts_with("Patroni is paused"));
        assert!(ask(|view| view.scheduled_switchover = Some(true.into())).starts_with("a switchover is scheduled"));
        assert!(ask(|view| view.members[0].role = "replica".into()).starts_with("nobody leads"));
        assert!(ask(|view| view.members[0].role = "standby_leader".into()).contains("standby cluster"));
        assert!(ask(|view| view.members[0].name = "c".into()).starts_with("c leads by now"));
        assert_eq!(ask(|view| view.members[1].tags.nofailover = true), "b is tagged nofailover");
        assert_eq!(ask(|view| view.members[1].name = "c".into()), "b is no member");
        assert_eq!(ask(|view| view.members[1].state = "starting".into()), "b is starting");
        assert_eq!(ask(|view| view.members[1].state = String::new()), "b is in no known state");
        assert_eq!(view(|_| {}).forbids_switchover("a", "a").unwrap(), "a leads already");

        let fail = |change: fn(&mut View)| view(change).forbids_failover("b");
        assert!(fail(|_| {}).unwrap().starts_with("a leads and runs"));
        assert_eq!(fail(|view| view.members[0].state = "stopped".into()), None);
        assert_eq!(fail(|view| drop(view.members.remove(0))), None);
        assert!(fail(|view| (view.pause, view.members[0].state) = (true, String::new())).is_some());
    }

    #[test]
    fn who_leads_is_seen_and_not_heard() {
        let before = view(|_| {});
        assert_eq!(judge(&before, &before, "b"), None);
        // It holds the key, and was not promoted yet: so 3.0.2 says for half a second.
        let early = view(|view| {
            (view.members[0].role, view.members[1].role) = ("replica".into(), "leader".into());
            view.members[1].state = "running".into();
        });
        assert_eq!(judge(&early, &before, "b"), None);
        let mut late = early;
        late.members[1].timeline = Some(2);
        assert_eq!(judge(&late, &before, "b"), Some(Outcome::Done { timeline: 2 }));
        assert_eq!(judge(&late, &before, "c"), Some(Outcome::Instead { leader: "b".into() }));
        let lost = view(|view| drop(view.members.remove(0)));
        assert_eq!(judge(&late, &lost, "b"), Some(Outcome::Done { timeline: 2 }));
        assert_eq!(judge(&late, &View::default(), "b"), None, "nothing was known before");
        late.members[1].state = "starting".into();
        assert_eq!(judge(&late, &before, "b"), None);
    }

    #[test]
    fn an_answer_means_what_it_can_mean() {
        assert_eq!(answer(200, r#"Switched over to "c" instead of "b""#), Answer::Done);
        assert_eq!(answer(202, "Switchover scheduled"), Answer::Scheduled);
        assert_eq!(
            answer(412, "leader name does not match"),
            Answer::Refused("leader name does not match (412)".into())
        );
        assert_eq!(answer(401, ""), Answer::Refused("status 401".into()));
        for status in [500, 502, 503, 504, 301] {
            assert!(matches!(answer(status, "Switchover status unknown"), Answer::Unclear(_)), "{status}");
        }
    }

    #[test]
    fn a_node_is_found_by_name_or_place_and_a_newer_patroni_understood() {
        let view: View = serde_json::from_str(
            r#"{"scope": "orders", "pause": true, "members": [
                {"name": "x", "role": "quorum_standby", "state": "streaming", "receive_lag": 0, "port": 5432, "host": "2001:db8::2", "tags": {"nofailover": true, "clonefrom": 1}}]}"#,
        )
        .unwrap();
        assert!(view.pause && view.members[0].tags.nofailover);
        assert_eq!(view.member_of("b", Some("[2001:db8::2]:5432")), Some(&view.members[0]));
        assert_eq!(view.member_of("x", None), Some(&view.members[0]));
        assert_eq!(view.member_of("b", Some("[2001:db8::2]:5433")), None);
        assert_eq!(view.member_of("b", None), None);
    }

    #[test]
    fn its_own_times_count() {
        let timing: Timing = serde_json::from_str(r#"{"ttl": 20, "loop_wait": 1, "retry_timeout": 3}"#).unwrap();
        assert_eq!((timing.wait(), timing.patience()), (Duration::from_secs(22), Duration::from_secs(25)));
        assert_eq!(serde_json::from_str::<Timing>("{}").unwrap(), Timing::default());
        assert_eq!(Timing::default().wait(), Duration::from_secs(50));
    }
}
