//! The evidence and the scene that the words of a scenario make.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use pgvigil::clock::{Moment, Mono, Wall};
use pgvigil::cluster::assess::{Assessment, NodeAssessment, Verdict};
use pgvigil::cluster::loss::{Loss, Unseen};
use pgvigil::cluster::observers::{Agreement, Opinion, Others, Role, Silence};
use pgvigil::cluster::promotable::{Promotable, Reason};
use pgvigil::cluster::source::RecoverySource;
use pgvigil::cluster::timelines::Lineage;
use pgvigil::cluster::upstream::Upstream;
use pgvigil::collector::archive_verdict::ArchiveState;
use pgvigil::config::duration;
use pgvigil::pg::failure::{Cause as Fault, Failure, NodeState};
use pgvigil::pg::lsn::{Lsn, Timeline};
use pgvigil::pg::version::ServerVersion;
use pgvigil::runbook::book::{Book, Mode};
use pgvigil::runbook::candidate;
use pgvigil::runbook::evidence::{Evidence, Look, Primary, Receiver, Server};
use pgvigil::runbook::guard::{Cause, LockState, Past, Scene, Stage, Terms};
use pgvigil::runbook::manager::detect::{Detected, Kind};
use pgvigil::runbook::manager::patroni::{Managed, Member, Tags, View};
use pgvigil::runbook::run::{Episode, Plan};

use super::file::{NodeWords, PastWords, PatroniWords, RunWords, Scenario};

/// The system of every scenario.
pub const SYSTEM: u64 = 7_300_000_000_000_000_001;

/// Runbooks that were read, by their text: thousands of worlds have the same one.
static BOOKS: Mutex<BTreeMap<String, Book>> = Mutex::new(BTreeMap::new());

/// The present of every scenario: 12 days after boot.
fn now() -> Moment {
    Moment { mono: Mono::from_nanos(1_000_000_000_000_000), wall: Wall::from_seconds(1.8e9) }
}

/// What a scene looks at.
pub struct World {
    pub evidence: Evidence,
    pub before: Option<Evidence>,
    pub plan: Plan,
    pub candidate: Option<usize>,
    pub terms: Terms,
    pub past: Vec<Past>,
    pub lock: LockState,
    pub hooks: Vec<String>,
    pub managed: Option<Managed>,
    pub data: serde_json::Map<String, serde_json::Value>,
    pub stage: Stage,
    pub paused: bool,
    pub elsewhere: usize,
    pub failing: usize,
}

impl World {
    pub fn scene(&self) -> Scene<'_> {
        Scene {
            stage: self.stage,
            now: now(),
            evidence: &self.evidence,
            before: self.before.as_ref(),
            plan: &self.plan,
            candidate: self.candidate,
            terms: &self.terms,
            past: &self.past,
            elsewhere: self.elsewhere,
            failing: self.failing,
            paused: self.paused,
            lock: &self.lock,
            hooks: &self.hooks,
            managed: self.managed.as_ref(),
            data: &self.data,
        }
    }
}

fn length(text: &str) -> Duration {
    duration::parse(text).unwrap_or_else(|error| panic!("{text} {error}"))
}

/// The moment `age` before the present.
fn ago(age: Duration) -> Moment {
    Moment { mono: now().mono.minus(age), wall: Wall::from_seconds(now().wall.as_seconds() - age.as_secs_f64()) }
}

impl Scenario {
    pub fn world(&self) -> World {
        let age = length(&self.run.age);
        let evidence = self.evidence(&self.nodes, age);
        let before = self.before.as_ref().map(|before| self.evidence(&before.nodes, length(&before.age)));
        World {
            candidate: if self.run.planned {
                candidate::choose_planned(&evidence)
            } else {
                candidate::choose(&evidence)
            },
            evidence,
            before,
            plan: self.plan(),
            terms: Terms {
                ceiling: Mode::Automatic,
                delegated: Mode::Automatic,
                single_receiver: self.run.single_receiver,
                has_lock: self.run.has_lock,
                manager: self.run.manager.as_deref().map(word),
                sample_interval: Duration::from_secs(1),
            },
            past: self.run.past.iter().enumerate().map(past).collect(),
            lock: match self.run.lock.as_str() {
                "not_yet" => LockState::NotYet,
                "held" => LockState::Held(7),
                "elsewhere" => LockState::Elsewhere("pgvigil-b".into()),
                "unknown" => LockState::Unknown("etcd does not answer".into()),
                other => panic!("no lock is {other}"),
            },
            hooks: self.run.hooks.clone(),
            managed: self.run.patroni.as_ref().map(managed),
            data: self.run.shutdown.iter().map(|lsn| ("shutdown_checkpoint_lsn".into(), lsn.as_str().into())).collect(),
            stage: self.stage,
            paused: self.run.paused,
            elsewhere: self.run.open_runs_elsewhere,
            failing: self.run.clusters_failing,
        }
    }

    fn plan(&self) -> Plan {
        let Book { name, class, planned, mode, triggers, limits, steps, .. } = self.book();
        Plan {
            plan: "p".into(),
            episode: Episode {
                cluster: "orders".into(),
                system_identifier: SYSTEM,
                timeline: Timeline(self.run.episode),
                primary: "a".into(),
            },
            runbook: name,
            book: "b".into(),
            config: "c".into(),
            class,
            planned,
            mode,
            triggers,
            cause: self.cause(),
            limits,
            steps,
            candidate: None,
            loss_bytes: None,
            guards: Vec::new(),
        }
    }

    fn book(&self) -> Book {
        let RunWords { class, mode, limits, planned, patroni, .. } = &self.run;
        let trigger = match class.as_str() {
            _ if *planned => "planned: true",
            "failover" => "trigger: [alert, observation]",
            _ => "trigger: [alert]",
        };
        let steps = match class.as_str() {
            _ if patroni.is_some() => "  - delegate: {}\n",
            _ if *planned => "  - fence: {argv: [/stop], probe: [/is-stopped], undo: [/start]}\n  - promote: {}\n",
            "failover" => "  - fence: {argv: [/fence], probe: [/is-fenced]}\n  - promote: {}\n",
            _ => "  - wait: {for: 1s}\n",
        };
        let text = format!("---\nclass: {class}\nmode: {mode}\n{trigger}\nlimits: {limits}\nsteps:\n{steps}---\n# X\n");
        let mut known = BOOKS.lock().unwrap();
        let read = || Book::parse(Path::new("X.md"), &text).unwrap_or_else(|error| panic!("{error}"));
        known.entry(text.clone()).or_insert_with(read).clone()
    }

    fn cause(&self) -> Cause {
        let alert = |firing, truncated, age: &str| Cause::Alert {
            name: "PostgresPrimaryUnreachable".into(),
            firing,
            truncated,
            starts_at: jiff::Timestamp::UNIX_EPOCH,
            received: ago(length(age)),
        };
        match self.run.cause.split_once(' ').unwrap_or((&self.run.cause, "")) {
            ("observation", "") => Cause::Observation,
            ("person", "") => Cause::Person { by: "ann".into() },
            ("firing", age) => alert(true, 0, age),
            ("truncated", age) => alert(true, 3, age),
            ("resolved", age) => alert(false, 0, age),
            _ => panic!("no cause is {}", self.run.cause),
        }
    }

    fn evidence(&self, words: &BTreeMap<String, NodeWords>, age: Duration) -> Evidence {
        let names: Vec<&String> = words.keys().collect();
        let at = ago(age);
        let nodes: Vec<Look> = words.iter().map(|(name, words)| look(name, words, at)).collect();
        let mut evidence = Evidence {
            cluster: "orders".into(),
            began: at,
            ended: at,
            nodes,
            primary: self.primary.known.then(|| self.primary(&names)),
            assessment: self.assessment(words),
            blind: self.run.blind,
            maintenance: self.run.maintenance.then(|| now().plus(Duration::from_secs(600))),
        };
        let candidate = candidate::choose(&evidence).map(|number| names[number].clone());
        evidence.assessment.failover_candidate = candidate.filter(|_| self.run.loss_known);
        evidence
    }

    fn primary(&self, names: &[&String]) -> Primary {
        let words = &self.primary;
        let number = |name: &String| names.iter().position(|other| *other == name).expect("a node of this name");
        let fed = match &words.fed {
            None => Some((0..names.len()).filter(|number| *names[*number] != words.node).collect()),
            Some(fed) if fed.iter().any(|name| name == "unknown") => None,
            Some(fed) => Some(fed.iter().map(number).collect()),
        };
        Primary {
            node: number(&words.node),
            timeline: Timeline(words.timeline),
            system_identifier: words.system_known.then_some(SYSTEM),
            flushed: lsn(&words.flushed),
            seen: ago(length(&words.seen)),
            was_moving: words.was_writing,
            wal_sender_timeout: Some(Duration::from_secs(60)),
            stopping: words.stopped_on_purpose.as_deref().map(|age| ago(length(age))),
            processes: words.processes,
            fed,
            archiving: words.archiver_hangs.then_some(ArchiveState::Hung),
        }
    }

    fn assessment(&self, words: &BTreeMap<String, NodeWords>) -> Assessment {
        Assessment {
            nodes: words.iter().map(|(name, words)| self.observed(name, words)).collect(),
            primary: Some(self.primary.node.clone()),
            primaries: 0,
            split_brain: Verdict::Unknown,
            timeline: Some(Timeline(self.run.timeline)),
            timeline_switches: 0,
            timeline_fork: None,
            failover_candidate: None,
            failover_loss: self.run.loss.map(|bytes| Loss {
                seen_bytes: 0,
                seen_seconds: Some(0.0),
                estimated_bytes: bytes,
                estimated_seconds: Some(1.0),
                unseen: Unseen::default(),
            }),
            standbys: Vec::new(),
        }
    }

    fn observed(&self, name: &str, words: &NodeWords) -> NodeAssessment {
        let is_primary = name == self.primary.node;
        let reasons: Vec<Reason> = words.promotable_block.iter().map(|reason| self::reason(reason)).collect();
        let any = |verdict| reasons.iter().any(|reason| reason.verdict() == verdict);
        let verdict = match (any(Verdict::No), any(Verdict::Unknown)) {
            (true, _) => Verdict::No,
            (_, true) => Verdict::Unknown,
            _ => Verdict::Yes,
        };
        let upstream = words.fed_by.as_ref().map_or_else(
            || if words.receiver == "none" { Upstream::None } else { Upstream::Node(self.primary.node.clone()) },
            |name| Upstream::Node(name.clone()),
        );
        NodeAssessment {
            name: name.to_owned(),
            state: "unknown",
            up: false,
            is_primary,
            lag: None,
            lineage: Lineage { foreign_system: Verdict::No, behind: Verdict::No, diverged: None, can_follow: None },
            promotable: (!is_primary && words.observed).then_some(Promotable { verdict, reasons }),
            sync: None,
            settings: None,
            source: RecoverySource::Unknown,
            needs_rebuild: None,
            upstream: Some(upstream),
            others: if is_primary { others(&self.primary.observers) } else { Others::default() },
            last_primary: is_primary,
            witnessed: is_primary && self.primary.witnessed,
        }
    }
}

fn look(name: &str, words: &NodeWords, at: Moment) -> Look {
    let probe = match words.answers.as_str() {
        "standby" => Ok(server(words, true)),
        "primary" => Ok(server(words, false)),
        reason => Err(Failure::new(fault(reason), "")),
    };
    Look { node: name.to_owned(), at, probe, has_admin: words.admin_dsn }
}

fn server(words: &NodeWords, in_recovery: bool) -> Server {
    let replayed = words.replayed.as_ref().unwrap_or(&words.position);
    Server {
        version: ServerVersion(160_000),
        system_identifier: if words.other_system { 1 } else { SYSTEM },
        timeline: Timeline(words.timeline),
        in_recovery,
        position: lsn(&words.position),
        replayed: (in_recovery && words.replayed_known).then(|| lsn(replayed)),
        receiver: in_recovery.then(|| receiver(words)).flatten(),
        replay_paused: words.replay_paused,
        apply_delay: length(&words.apply_delay),
        synchronous_standby_names: String::new(),
        manager: words.manager.as_deref().map(detected),
    }
}

fn receiver(words: &NodeWords) -> Option<Receiver> {
    let timeout = (words.wal_receiver_timeout != "off").then(|| length(&words.wal_receiver_timeout));
    let (streams, silent) = match words.receiver.split_once(' ').unwrap_or((&words.receiver, "")) {
        ("none", "") => return None,
        ("connecting", "") => (false, None),
        ("streaming", "") => (true, None),
        ("silent", age) => (true, Some(length(age))),
        ("waiting", age) => (false, Some(length(age))),
        _ => panic!("no receiver is {}", words.receiver),
    };
    Some(Receiver { streams, silent, timeout, sender: None })
}

fn others(words: &BTreeMap<String, String>) -> Others {
    let mut others = Others::default();
    for (observer, sight) in words {
        let (state, age) = sight.split_once(' ').unwrap_or((sight, ""));
        let state = NodeState::named(state).expect("a state of a node");
        match state {
            NodeState::Up => others.up += 1,
            NodeState::Timeout | NodeState::Unreachable => others.down += 1,
            NodeState::Unknown => others.unknown += 1,
            _ => others.answering += 1,
        }
        others.opinions.push(Opinion {
            observer: observer.clone(),
            agreement: Agreement::Unknown,
            state,
            role: Role::Unknown,
            age_seconds: (!age.is_empty()).then(|| length(age).as_secs_f64()),
            since_seconds: None,
            silence: (state == NodeState::Unknown).then_some(Silence::NoAnswer),
        });
    }
    others
}

fn past((number, words): (usize, &PastWords)) -> Past {
    Past {
        run: format!("run-{number}"),
        cluster: "orders".into(),
        runbook: "X".into(),
        acted: words.acted,
        promoted: words.promoted.clone(),
        ended: ago(length(&words.ended)),
        acknowledged: words.acknowledged,
    }
}

fn lsn(text: &str) -> Lsn {
    text.parse().expect("a WAL position")
}

fn fault(label: &str) -> Fault {
    Fault::all().find(|cause| cause.as_str() == label).unwrap_or_else(|| panic!("no failure is called {label}"))
}

fn reason(label: &str) -> Reason {
    Reason::all().find(|reason| reason.as_str() == label).unwrap_or_else(|| panic!("no reason is called {label}"))
}

/// Members are called like nodes. The primary in question is `a`, the candidate `b`.
fn managed(words: &PatroniWords) -> Managed {
    let member = |name: &String, role: &str, state: &str| Member {
        name: name.clone(),
        role: role.to_owned(),
        state: state.to_owned(),
        timeline: Some(1),
        host: None,
        port: None,
        tags: Tags { nofailover: words.nofailover.contains(name) },
    };
    let leader = words.leads.iter().map(|name| member(name, "leader", "running"));
    let members: Vec<_> = leader.chain(words.others.iter().map(|name| member(name, "replica", "streaming"))).collect();
    let known = |name: &str| members.iter().any(|member| member.name == name).then(|| name.to_owned());
    Managed {
        leader: known("a"),
        candidate: known("b"),
        wait: Some(length(&words.acts_within)),
        view: match words.answers {
            true => Ok(View { members, pause: words.paused, scheduled_switchover: None }),
            false => Err("patroni at http://p1:8008/ does not answer: connection refused".to_owned()),
        },
    }
}

/// As a session of it shows it.
fn detected(name: &str) -> Detected {
    let kinds = [("patroni", Kind::Patroni), ("repmgr", Kind::Repmgr), ("pg_auto_failover", Kind::PgAutoFailover)];
    let kind = kinds.into_iter().find(|(word, _)| *word == name).expect("a cluster manager").1;
    Detected { kind, by: format!("a session of {name}") }
}

/// The names that the config knows.
fn word(name: &str) -> &'static str {
    let known = ["none", "patroni", "repmgr", "pg_auto_failover"];
    known.into_iter().find(|word| *word == name).expect("a cluster manager")
}
