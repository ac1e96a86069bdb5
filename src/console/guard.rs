//! Who may: the Host that was asked for, the token, the cookies of those who gave it, and how often a wrong one is taken.
//!
//! A page elsewhere cannot speak to the console: its requests carry no cookie (`SameSite=Strict`), a POST from another origin is
//! refused, and a name that somebody made point at this machine (DNS rebinding) is none of ours.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::header::{self, HeaderMap, HeaderName};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::bucket::Bucket;
use super::looks::{Asked, LASTS, Looks};
use crate::clock::Clock;
use crate::command::Refusal;
use crate::domain::{CameraId, Purpose};

/// Name of the cookie.
const COOKIE: &str = "watchpost";
/// How long one counts without being used by a person, and at all.
const IDLE: Duration = Duration::from_hours(1);
const LIVES: Duration = Duration::from_hours(12);
/// How long nobody may have used the page that goes on looking at a camera.
pub(super) const ALONE: Duration = Duration::from_mins(15);
/// What the page puts on a request when somebody moved, pressed or typed since the one before. It asks on by itself all the time: that is no use.
const ACTED: HeaderName = HeaderName::from_static("watchpost-acted");
/// Most that count at once; the one that was used longest ago gives way.
const SESSIONS: usize = 16;
/// Wrong tokens that are taken at once, and how long until there is room for one more.
const WRONG: u32 = 5;
const EVERY: Duration = Duration::from_secs(12);

/// Who asks, once the token was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// Every request of theirs has the token.
    Bearer,
    /// A browser that has given it.
    Session([u8; 32]),
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// No token, no cookie, or one that counts no more.
    Nobody,
    /// The token is wrong.
    Wrong,
    /// Too many wrong ones lately.
    TooMany,
}

/// Why nobody looks.
#[derive(Debug)]
pub(super) enum NoLook {
    /// Too many lately; there is room for one after so long.
    TooMany(Duration),
    /// It was not written down.
    Refused(Refusal),
}

struct Session {
    since: Duration,
    used: Duration,
}

struct State {
    sessions: HashMap<[u8; 32], Session>,
    looks: Looks,
    wrong: Bucket,
}

/// See the module.
pub(super) struct Guard {
    token: [u8; 32],
    hosts: Vec<String>,
    clock: Clock,
    state: Mutex<State>,
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.iter_mut().zip(digest(&SHA256, bytes).as_ref()).for_each(|(o, d)| *o = *d);
    out
}

/// Whether two digests are the same, in a time that does not tell where they differ.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b))) == 0
}

/// A host without its port, in small letters.
fn bare(host: &str) -> String {
    let end = match host.rfind(']') {
        Some(at) => at + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    host.get(..end).unwrap_or_default().to_ascii_lowercase()
}

fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl Guard {
    pub(super) fn new(token: &Zeroizing<String>, hosts: &[String], clock: Clock) -> Self {
        let now = clock.monotonic();
        let state = State { sessions: HashMap::new(), looks: Looks::new(now), wrong: Bucket::new(WRONG, EVERY, now) };
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { token: sha256(token.as_bytes()), hosts, clock, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is us who was asked: one Host, which is loopback or a name of ours.
    pub(super) fn knows_host(&self, headers: &HeaderMap) -> bool {
        if headers.get_all(header::HOST).iter().count() != 1 {
            return false;
        }
        let host = text(headers, header::HOST).map(bare).unwrap_or_default();
        ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str()) || self.hosts.contains(&host)
    }

    /// Whether a request that does something comes from the page itself, or from no page.
    pub(super) fn is_own(headers: &HeaderMap) -> bool {
        let site = text(headers, "sec-fetch-site").unwrap_or("none");
        let Some(origin) = text(headers, header::ORIGIN) else { return ["same-origin", "none"].contains(&site) };
        let host = text(headers, header::HOST).unwrap_or_default();
        let from = origin.split_once("://").map(|(_, from)| from).unwrap_or_default();
        from.eq_ignore_ascii_case(host) && ["same-origin", "none"].contains(&site)
    }

    /// Who sends this.
    pub(super) fn who(&self, headers: &HeaderMap) -> Result<Who, Denied> {
        if let Some(given) = text(headers, header::AUTHORIZATION) {
            let token = given.strip_prefix("Bearer ").ok_or(Denied::Wrong)?;
            return self.token(token).map(|()| Who::Bearer);
        }
        let id = cookie(headers).ok_or(Denied::Nobody)?;
        let (now, key) = (self.clock.monotonic(), sha256(id.as_bytes()));
        let mut state = self.state();
        let session = state.sessions.get_mut(&key).ok_or(Denied::Nobody)?;
        if now.saturating_sub(session.used) > IDLE || now.saturating_sub(session.since) > LIVES {
            state.sessions.remove(&key);
            return Err(Denied::Nobody);
        }
        if headers.contains_key(&ACTED) {
            session.used = now;
        }
        Ok(Who::Session(key))
    }

    /// A person has opened the page.
    pub(super) fn used(&self, who: &Who) {
        let now = self.clock.monotonic();
        if let Who::Session(key) = who
            && let Some(session) = self.state().sessions.get_mut(key)
        {
            session.used = now;
        }
    }

    /// Whether somebody sits before the page, as far as that can be told. Who sends the token with every request sees to that.
    pub(super) fn is_attended(&self, who: &Who) -> bool {
        let Who::Session(key) = who else { return true };
        let now = self.clock.monotonic();
        self.state().sessions.get(key).is_some_and(|session| now.saturating_sub(session.used) < ALONE)
    }

    /// Whether this is the token.
    pub(super) fn token(&self, given: &str) -> Result<(), Denied> {
        let now = self.clock.monotonic();
        let mut state = self.state();
        // First: whoever has the token is not locked out by whoever guesses. Guessing gains nothing: a token is long.
        if same(&sha256(given.as_bytes()), &self.token) {
            return Ok(());
        }
        if !state.wrong.wait(now).is_zero() {
            return Err(Denied::TooMany);
        }
        state.wrong.take();
        tracing::warn!("a wrong token was given to the console");
        Err(Denied::Wrong)
    }

    /// Makes a cookie for a browser that has given the token; `None`: the system gives no random bytes.
    pub(super) fn open(&self) -> Option<String> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).ok()?;
        let id = data_encoding::HEXLOWER.encode(&bytes);
        let now = self.clock.monotonic();
        let mut state = self.state();
        if state.sessions.len() >= SESSIONS
            && let Some(oldest) = state.sessions.iter().min_by_key(|(_, s)| s.used).map(|(key, _)| *key)
        {
            state.sessions.remove(&oldest);
        }
        state.sessions.insert(sha256(id.as_bytes()), Session { since: now, used: now });
        Some(format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}", LIVES.as_secs()))
    }

    /// Forgets one; what the browser is told to forget it by.
    pub(super) fn close(&self, who: &Who) -> String {
        let mut state = self.state();
        if let Who::Session(key) = who {
            state.sessions.remove(key);
        }
        state.looks.end(who);
        format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
    }

    /// Opens a look at a camera, once `record` has written it down, and says how long it lasts. One that is open already is not
    /// written down again.
    pub(super) fn look(
        &self,
        who: &Who,
        (camera, purpose): (&CameraId, Option<Purpose>),
        record: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<Duration, NoLook> {
        let (begun, look) = (self.clock.monotonic(), (who.clone(), camera.clone(), purpose));
        match self.state().looks.ask(&look, begun) {
            Asked::Open(left) => return Ok(left),
            Asked::TooMany(wait) => return Err(NoLook::TooMany(wait)),
            Asked::Anew => {}
        }
        // The disk may be slow: others are let in meanwhile.
        let written = record();
        let mut state = self.state();
        if let Err(refusal) = written {
            state.looks.refused(who);
            return Err(NoLook::Refused(refusal));
        }
        state.looks.open(look, begun);
        Ok(LASTS)
    }

    /// Whether somebody may look at a camera.
    pub(super) fn may_look(&self, who: &Who, camera: &CameraId) -> bool {
        let now = self.clock.monotonic();
        self.state().looks.may_look(who, camera, now)
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimClock;
    use crate::domain::{Reason, TimeMs};

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn guard() -> (Guard, std::sync::Arc<SimClock>) {
        let clock = SimClock::at(TimeMs(1_800_000_000_000));
        let hosts = ["Box-1.example".to_owned()];
        (Guard::new(&Zeroizing::new(TOKEN.to_owned()), &hosts, Clock::of(clock.clone())), clock)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn only_loopback_and_named_hosts_are_us() {
        let (guard, _) = guard();
        for good in ["localhost", "localhost:8480", "127.0.0.1:9", "[::1]", "[::1]:8480", "BOX-1.example:443"] {
            assert!(guard.knows_host(&headers(&[("host", good)])), "{good}");
        }
        for bad in ["evil.example", "127.0.0.1.evil.example", "", "192.0.2.1", "localhost.evil.example:8480"] {
            assert!(!guard.knows_host(&headers(&[("host", bad)])), "{bad}");
        }
        assert!(!guard.knows_host(&headers(&[])));
        assert!(!guard.knows_host(&headers(&[("host", "localhost"), ("host", "evil.example")])));
    }

    #[test]
    fn what_another_page_sends_is_not_ours() {
        let host = ("host", "localhost:8480");
        assert!(Guard::is_own(&headers(&[host])));
        assert!(Guard::is_own(&headers(&[
            host,
            ("origin", "http://localhost:8480"),
            ("sec-fetch-site", "same-origin")
        ])));
        for bad in ["http://evil.example", "null", "http://localhost:9"] {
            assert!(!Guard::is_own(&headers(&[host, ("origin", bad)])), "{bad}");
        }
        assert!(!Guard::is_own(&headers(&[host, ("sec-fetch-site", "cross-site")])));
        assert!(!Guard::is_own(&headers(&[host, ("sec-fetch-site", "same-site")])));
    }

    #[test]
    fn wrong_tokens_are_bounded_and_room_comes_back() {
        let (guard, clock) = guard();
        let bearer = |token: &str| headers(&[("authorization", &format!("Bearer {token}"))]);
        assert_eq!(guard.who(&bearer(TOKEN)), Ok(Who::Bearer));
        for _ in 0..5 {
            assert_eq!(guard.who(&bearer("wrong")), Err(Denied::Wrong));
        }
        assert_eq!(guard.who(&bearer("wrong")), Err(Denied::TooMany));
        assert_eq!(guard.who(&bearer(TOKEN)), Ok(Who::Bearer), "who has the token is not locked out by who guesses");
        clock.advance(EVERY);
        assert_eq!(guard.who(&bearer("wrong")), Err(Denied::Wrong));
    }

    #[test]
    fn a_page_that_nobody_uses_is_alone_after_a_while() {
        let (guard, clock) = guard();
        let set = guard.open().unwrap();
        let polls = headers(&[("cookie", set.split(';').next().unwrap())]);
        let mut acts = polls.clone();
        acts.insert(ACTED, "1".parse().unwrap());
        let who = guard.who(&polls).unwrap();
        clock.advance(ALONE / 2);
        guard.who(&acts).unwrap();
        clock.advance(ALONE / 2);
        guard.who(&polls).unwrap();
        assert!(guard.is_attended(&who));
        clock.advance(ALONE / 2);
        guard.who(&polls).unwrap();
        assert!(!guard.is_attended(&who) && guard.is_attended(&Who::Bearer));
        guard.used(&who);
        assert!(guard.is_attended(&who));
    }

    #[test]
    fn a_look_is_written_down_before_it_is_open_and_one_that_is_not_is_none() {
        let (guard, clock) = guard();
        let gate = CameraId::new("gate").unwrap();
        let asks = |record: &dyn Fn() -> Result<(), Refusal>| {
            guard.look(&Who::Bearer, (&gate, Some(Purpose::Traffic)), record)
        };
        // A disk that takes its time: what the record opens begins before it is written, so it is over no later than the record says.
        let slow = || {
            assert!(!guard.may_look(&Who::Bearer, &gate));
            clock.advance(Duration::from_secs(3));
            Ok(())
        };
        let full = || Err(Refusal::new(Reason::Internal, "the disk is full".to_owned()));
        for _ in 0..100 {
            assert!(matches!(asks(&full), Err(NoLook::Refused(_))));
            assert!(!guard.may_look(&Who::Bearer, &gate));
        }
        assert_eq!(asks(&slow).unwrap(), LASTS);
        clock.advance(LASTS.saturating_sub(Duration::from_secs(4)));
        assert!(guard.may_look(&Who::Bearer, &gate));
        clock.advance(Duration::from_secs(1));
        assert!(!guard.may_look(&Who::Bearer, &gate));
    }

    #[test]
    fn a_cookie_counts_until_it_is_closed_idle_or_old() {
        let (guard, clock) = guard();
        let of = |set: &str| headers(&[("cookie", &format!("other=1; {}", set.split(';').next().unwrap()))]);
        let set = guard.open().unwrap();
        assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"));
        let who = guard.who(&of(&set)).unwrap();
        let gate = CameraId::new("gate").unwrap();
        guard.look(&who, (&gate, Some(Purpose::Maintenance)), || Ok(())).unwrap();
        assert!(guard.may_look(&who, &gate) && !guard.may_look(&Who::Bearer, &gate));
        guard.close(&who);
        assert!(!guard.may_look(&who, &gate));
        assert_eq!(guard.who(&of(&set)), Err(Denied::Nobody));
        // A page that polls by itself is no use of it.
        let set = guard.open().unwrap();
        for _ in 0..60 {
            clock.advance(Duration::from_mins(1));
            assert!(guard.who(&of(&set)).is_ok());
        }
        clock.advance(Duration::from_secs(1));
        assert_eq!(guard.who(&of(&set)), Err(Denied::Nobody));
        let set = guard.open().unwrap();
        let mut used = of(&set);
        used.insert(ACTED, "1".parse().unwrap());
        for _ in 0..12 {
            clock.advance(Duration::from_mins(59));
            assert!(guard.who(&used).is_ok(), "what a person does is use");
        }
        clock.advance(Duration::from_mins(59));
        let _ = guard.who(&used);
        assert_eq!(guard.who(&of(&set)), Err(Denied::Nobody), "at most 12 hours");
        assert_eq!(guard.who(&headers(&[("cookie", "watchpost=00")])), Err(Denied::Nobody));
    }
}
