//! One box's part of a question: what is sent to it, what it says, what comes of it. Knows no connection: the broker's
//! ([`super`]) and the unix socket's carry the same.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Outcome, Question, Signed, Signers};
use crate::centre::carry::Letter;
use crate::centre::keys::{Keys, hex};
use crate::centre::link::Taken;
use crate::centre::topics::{Kind, Topics};
use crate::centre::wire::command::{MAX_LIFETIME_S, Order, sign_order};
use crate::centre::wire::{self, Attached, BlobRef, CHUNK, HealthReport, Missing, Reply};
use crate::clock::Clock;
use crate::domain::{BoxId, CommandStatus, EventId, Reason, SiteId};

/// How often one question may be put anew to a box: after blobs, a challenge, an attachment that did not come whole.
pub(super) const ROUNDS: usize = 8;
/// Chunks of a blob that are under way to one box at once.
const CHUNKS_LENT: usize = 4;
/// A command that the broker took and the box did not accept is sent again after this time: the box may have been between
/// two sessions.
const AGAIN: Duration = Duration::from_secs(5);
/// A box that is busy, or not there, is tried again after this time.
const SOON: Duration = Duration::from_millis(700);
/// A box to which nobody delivers for so long is offline.
const AWAY: Duration = Duration::from_secs(3);
/// And to which nobody did so often: this process may have stood still between two tries.
const AWAY_TRIES: u32 = 3;
/// Health comes every 30 s.
const HEALTH_WITHIN: Duration = Duration::from_secs(40);
/// An attachment of which nothing more comes for so long is asked for anew.
const CHUNKS_WITHIN: Duration = Duration::from_secs(6);
/// Seconds that a command is valid beside the time that is waited for it.
const LIFETIME_SLACK_S: u64 = 60;

/// What a talk is about.
pub struct Parts {
    /// The box's site.
    pub site: SiteId,
    /// The box.
    pub box_id: BoxId,
    /// Its topics.
    pub topics: Topics,
    /// The keys that speak for it.
    pub keys: Keys,
    /// What is asked.
    pub question: Arc<Question>,
    /// By whom.
    pub signers: Arc<Signers>,
    /// Ids of its rounds.
    pub ids: Arc<[[u8; 16]; ROUNDS]>,
    /// How long the box may be silent.
    pub wait: Duration,
    /// Time.
    pub clock: Clock,
}

/// See the module.
pub struct Talk {
    parts: Parts,
    stage: Stage,
    round: usize,
    /// The signed command of this round, and until when it may be sent.
    command: Option<(Letter, Duration)>,
    challenge: Option<[u8; 8]>,
    /// When the box last said or was sent something.
    active: Duration,
    /// Since when nobody delivers to it.
    away: Option<(Duration, u32)>,
    /// What came under its topics and was not believed.
    unbelieved: Option<String>,
    chunks: HashMap<EventId, BTreeMap<u32, Vec<u8>>>,
    held: usize,
}

enum Stage {
    /// The command is to be sent at this time.
    Due(Duration),
    /// The broker is being given the command.
    Lent,
    /// The box is to say something; it is told again at this time.
    Asked(Duration),
    /// Chunks go down.
    Sending {
        chunks: VecDeque<(BlobRef, u32)>,
        lent: usize,
    },
    /// A challenge is awaited.
    Challenged,
    /// The answer is here, its attachments are not.
    Gathering(Box<(Reply, Signed)>, Vec<Attached>),
    Over(Option<Outcome>),
}

impl Talk {
    /// Nothing said yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let now = parts.clock.monotonic();
        Self {
            parts,
            stage: Stage::Due(now),
            round: 0,
            command: None,
            challenge: None,
            active: now,
            away: None,
            unbelieved: None,
            chunks: HashMap::new(),
            held: 0,
        }
    }

    /// Whom it is with.
    #[must_use]
    pub fn box_id(&self) -> &BoxId {
        &self.parts.box_id
    }

    /// Whether nothing more is awaited.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over(_))
    }

    /// Whether the box's health is wanted, for its challenge.
    #[must_use]
    pub fn wants_health(&self) -> bool {
        matches!(self.stage, Stage::Challenged)
    }

    /// Where the box tells its health.
    #[must_use]
    pub fn health_topic(&self) -> String {
        self.parts.topics.health()
    }

    /// What came of it.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self.stage {
            Stage::Over(Some(outcome)) => outcome,
            _ => Outcome::Silent,
        }
    }

    /// What is to be sent now, if anything; once per call.
    pub fn turn(&mut self) -> Option<Letter> {
        let now = self.parts.clock.monotonic();
        self.give_up(now);
        match &mut self.stage {
            Stage::Due(at) | Stage::Asked(at) if now >= *at => self.send_command(now),
            Stage::Sending { chunks, lent } if *lent < CHUNKS_LENT => {
                let (blob, n) = chunks.pop_front()?;
                *lent += 1;
                self.chunk(blob, n)
            }
            _ => None,
        }
    }

    /// The broker has taken what [`Talk::turn`] gave.
    pub fn taken(&mut self, taken: Taken) {
        let now = self.parts.clock.monotonic();
        match taken {
            Taken::Yes => {
                self.active = now;
                self.away = None;
            }
            Taken::NobodyListens => {
                self.away.get_or_insert((now, 0)).1 += 1;
            }
            Taken::Refused => {
                let text = "the broker refuses our commands: check its ACL".to_owned();
                return self.end(Outcome::Unbelieved(text));
            }
        }
        match &mut self.stage {
            Stage::Lent => {
                self.stage = Stage::Asked(now + if taken == Taken::Yes { AGAIN } else { SOON });
            }
            Stage::Sending { chunks, lent } => {
                *lent = lent.saturating_sub(1);
                if chunks.is_empty() && *lent == 0 {
                    self.again(now);
                }
            }
            _ => {}
        }
    }

    /// The connection is a new one: what was under way may be lost.
    pub fn reconnected(&mut self) {
        let now = self.parts.clock.monotonic();
        match &mut self.stage {
            Stage::Lent | Stage::Asked(_) => self.stage = Stage::Due(now),
            // What was lost is named as missing when the command comes again.
            Stage::Sending { .. } => self.again(now),
            _ => {}
        }
    }

    /// Takes a message of this box; what is not its own is not believed.
    pub fn hear(&mut self, kind: &Kind, topic: &str, payload: &[u8]) {
        let now = self.parts.clock.monotonic();
        match kind {
            Kind::Reply { .. } => self.hear_reply(kind, topic, payload, now),
            Kind::Evidence { id, chunk }
                if self.held + payload.len() <= self.parts.question.most
                    && payload.len() <= CHUNK
                    && !self.is_over() =>
            {
                self.held += payload.len();
                self.chunks.entry(*id).or_default().insert(*chunk, payload.to_vec());
                self.active = now;
                self.gather(now);
            }
            Kind::Health if self.wants_health() => {
                if let Ok((report, _)) = wire::verify::<HealthReport>(payload, topic, &self.parts.keys) {
                    self.challenge = Some(report.challenge);
                    self.again(now);
                }
            }
            _ => {}
        }
    }

    /// Bytes of attachments that are here, and that are wanted, as far as it is known.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        let here = u64::try_from(self.held).unwrap_or(u64::MAX);
        let wanted = match &self.stage {
            Stage::Gathering(_, wanted) => wanted.iter().map(|a| a.bytes).sum(),
            _ => 0,
        };
        (here, wanted)
    }

    fn id(&self) -> [u8; 16] {
        self.parts.ids.get(self.round).copied().unwrap_or_default()
    }

    fn end(&mut self, outcome: Outcome) {
        self.stage = Stage::Over(Some(outcome));
        self.chunks.clear();
    }

    /// Another round: the same question under another id.
    fn again(&mut self, now: Duration) {
        self.round += 1;
        self.command = None;
        self.active = now;
        self.stage = Stage::Due(now);
        if self.round >= ROUNDS {
            let text = format!("asked {ROUNDS} times, and it still wanted something else first");
            self.end(Outcome::Unbelieved(text));
        }
    }

    fn give_up(&mut self, now: Duration) {
        let within = match self.stage {
            Stage::Over(_) => return,
            Stage::Challenged => HEALTH_WITHIN.max(self.parts.wait),
            Stage::Gathering(..) if now >= self.active + CHUNKS_WITHIN && self.round + 1 < ROUNDS.min(3) => {
                self.chunks.clear();
                self.held = 0;
                return self.again(now);
            }
            _ => self.parts.wait,
        };
        let is_away = |(since, tries)| tries >= AWAY_TRIES && now >= since + AWAY.min(self.parts.wait);
        if self.away.is_some_and(is_away) {
            return self.end(Outcome::Offline);
        }
        if now >= self.active + within {
            let outcome = match (std::mem::replace(&mut self.stage, Stage::Over(None)), self.unbelieved.take()) {
                (Stage::Gathering(told, wanted), _) => {
                    let missing = wanted.iter().map(|a| a.id).collect();
                    let (reply, signed) = *told;
                    Outcome::Answered(Answer { reply, attachments: BTreeMap::new(), missing, signed })
                }
                (_, Some(why)) => Outcome::Unbelieved(why),
                (_, None) => Outcome::Silent,
            };
            self.end(outcome);
        }
    }

    fn send_command(&mut self, now: Duration) -> Option<Letter> {
        if self.command.is_none() {
            match self.sign(now) {
                Ok(command) => self.command = Some(command),
                Err(error) => {
                    self.end(Outcome::Unbelieved(format!("the command cannot be made: {error}")));
                    return None;
                }
            }
        }
        let (letter, until) = self.command.as_ref()?;
        if now >= *until {
            // A box would call it expired although it may have done it.
            self.stage = Stage::Asked(now + AGAIN);
            return None;
        }
        self.stage = Stage::Lent;
        Some(letter.clone())
    }

    fn sign(&self, now: Duration) -> Result<(Letter, Duration), wire::Error> {
        let (parts, question) = (&self.parts, &self.parts.question);
        let lifetime = (parts.wait.as_secs() + LIFETIME_SLACK_S).min(u64::from(MAX_LIFETIME_S));
        let order = Order {
            op: question.op,
            id: self.id(),
            site: parts.site.clone(),
            box_id: parts.box_id.clone(),
            issued: parts.clock.utc(),
            lifetime_s: u32::try_from(lifetime).unwrap_or(MAX_LIFETIME_S),
            challenge: self.challenge,
            purpose: question.purpose,
            case: question.case.clone(),
            args: question.args.clone(),
        };
        let kind = Kind::Command { op: question.op.as_str().to_owned(), id: hex(&self.id()) };
        let topic = parts.topics.of(&kind);
        let signers = &parts.signers;
        let payload = sign_order(&order, &topic, (&signers.first, &signers.issuer), signers.second.as_ref())?;
        let until = now + Duration::from_secs(lifetime.saturating_sub(5));
        Ok((Letter { topic, payload, correlation: None }, until))
    }

    fn chunk(&mut self, blob: BlobRef, n: u32) -> Option<Letter> {
        let content = self.parts.question.blob_of(&blob)?;
        let payload = content.chunks(CHUNK).nth(usize::try_from(n).ok()?)?.to_vec();
        let topic = self.parts.topics.of(&Kind::Blob { sha256: blob.sha256, chunk: n });
        Some(Letter { topic, payload, correlation: None })
    }

    fn hear_reply(&mut self, kind: &Kind, topic: &str, payload: &[u8], now: Duration) {
        if self.is_over() {
            return;
        }
        let reply = match wire::verify::<Reply>(payload, topic, &self.parts.keys) {
            Ok((reply, _)) if wire::Wire::fits(&reply, kind) => reply,
            Ok(_) => return,
            Err(error) => {
                self.unbelieved = Some(error.to_string());
                return;
            }
        };
        // Of an earlier round, or of a question of before.
        if reply.id != self.id() {
            return;
        }
        (self.active, self.away) = (now, None);
        match (reply.status, reply.reason) {
            (CommandStatus::Accepted | CommandStatus::Executing, _) => {
                // It has come; a repetition would only bring this answer again, unless our session was a new one.
                if let Stage::Lent | Stage::Asked(_) | Stage::Due(_) = self.stage {
                    self.stage = Stage::Asked(now + self.parts.wait.max(AGAIN));
                }
            }
            (CommandStatus::Successful, _) => {
                let signed = Signed { topic: topic.to_owned(), bytes: payload.to_vec() };
                self.answered(reply, signed, now);
            }
            (CommandStatus::Busy, _) => self.stage = Stage::Due(now + SOON),
            (_, Some(Reason::Challenge)) if self.challenge.is_none() => self.stage = Stage::Challenged,
            (_, Some(Reason::BlobMissing)) => self.blob_missing(reply),
            _ => self.end(Outcome::Refused(reply)),
        }
    }

    fn blob_missing(&mut self, reply: Reply) {
        let missing = reply.result.as_deref().and_then(|bytes| minicbor::decode::<Missing>(bytes).ok());
        let Some(missing) = missing.filter(|m| self.parts.question.blob_of(&m.blob).is_some()) else {
            return self.end(Outcome::Refused(reply));
        };
        let last = missing.blob.chunks().saturating_sub(1);
        let ranges = missing.ranges.iter().map(|(first, end)| *first..=(*end).min(last));
        let chunks: VecDeque<_> = ranges.flatten().map(|n| (missing.blob, n)).collect();
        if chunks.is_empty() {
            return self.end(Outcome::Refused(reply));
        }
        self.stage = Stage::Sending { chunks, lent: 0 };
    }

    fn answered(&mut self, reply: Reply, signed: Signed, now: Duration) {
        let wanted = (self.parts.question.attached)(reply.result.as_deref().unwrap_or_default());
        let bytes = wanted.iter().fold(0_u64, |sum, one| sum.saturating_add(one.bytes));
        let most = self.parts.question.most;
        // More could never be here whole: chunks beyond it are let go of.
        if usize::try_from(bytes).map_or(true, |bytes| bytes > most) {
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            let most = u64::try_from(most).unwrap_or(u64::MAX);
            let text =
                format!("the answer has {} MiB of pictures and clips; {} MiB are taken here", mib(bytes), most >> 20);
            return self.end(Outcome::Unbelieved(text));
        }
        self.stage = Stage::Gathering(Box::new((reply, signed)), wanted);
        self.gather(now);
    }

    /// Ends when every attachment is here whole and is what the answer says.
    fn gather(&mut self, now: Duration) {
        let Stage::Gathering(told, wanted) = &self.stage else { return };
        let mut attachments = BTreeMap::new();
        for attached in wanted {
            let chunks = self.chunks.get(&attached.id);
            let whole = chunks.map(|chunks| chunks.values().flatten().copied().collect::<Vec<u8>>());
            let whole = whole.unwrap_or_default();
            let count = chunks.map_or(0, BTreeMap::len);
            if count < usize::try_from(attached.chunks()).unwrap_or(usize::MAX) {
                return;
            }
            if !attached.fits(&whole) {
                self.unbelieved = Some(format!("an attachment of {} bytes is not what the box signed", whole.len()));
                self.chunks.clear();
                self.held = 0;
                return self.again(now);
            }
            attachments.insert(attached.id, whole);
        }
        let (reply, signed) = (**told).clone();
        let answer = Answer { reply, attachments, missing: Vec::new(), signed };
        self.end(Outcome::Answered(answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::keys::SigningKey;
    use crate::clock::SimClock;
    use crate::domain::{ClockState, Op, TimeMs};

    /// As a result names it here: its length.
    fn named(result: &[u8]) -> Vec<Attached> {
        let bytes = result.first().map_or(0, |mib| u64::from(*mib) << 20);
        vec![Attached { id: EventId([9; 16]), bytes, sha256: [0; 32] }]
    }

    #[test]
    fn an_answer_with_more_than_is_taken_is_none_and_says_so() {
        let key = |seed: u8| SigningKey::from_seed(&[seed; 32]).unwrap();
        let signer = key(1);
        let (site, box_id) = (SiteId::new("north").unwrap(), BoxId::new("box-1").unwrap());
        let topics = Topics::new("watchpost", &site, &box_id).unwrap();
        let question = Question::new(Op::EvidenceGet, Vec::new()).attached(named).at_most(3 << 20);
        let clock = SimClock::at(TimeMs(1_800_000_000_000));
        let answers = |mib: u8| {
            let mut talk = Talk::new(Parts {
                site: site.clone(),
                box_id: box_id.clone(),
                topics: topics.clone(),
                keys: Keys::from(signer.public().clone()),
                question: Arc::new(question.clone()),
                signers: Arc::new(Signers { first: key(2), issuer: "anna".to_owned(), second: None }),
                ids: Arc::new([[7; 16]; ROUNDS]),
                wait: Duration::from_secs(20),
                clock: Clock::of(clock.clone()),
            });
            let kind = Kind::Reply { op: Op::EvidenceGet.as_str().to_owned(), id: hex(&[7; 16]) };
            let mut reply =
                Reply::new([7; 16], CommandStatus::Successful, TimeMs(1_800_000_000_000), ClockState::Synced);
            reply.result = Some(vec![mib]);
            // Chunks come before the answer that names them.
            let chunk = Kind::Evidence { id: EventId([9; 16]), chunk: 0 };
            (0..100).for_each(|_| talk.hear(&chunk, "", &vec![0; CHUNK]));
            assert!(talk.held <= 3 << 20, "{}", talk.held);
            let topic = topics.of(&kind);
            talk.hear(&kind, &topic, &wire::sign(&reply, &topic, &signer).unwrap());
            talk
        };
        let taken = answers(3);
        assert!(!taken.is_over() && taken.unbelieved.is_none(), "it is awaited");
        let Outcome::Unbelieved(why) = answers(4).outcome() else { panic!("it is too large") };
        assert_eq!(why, "the answer has 4 MiB of pictures and clips; 3 MiB are taken here");
    }
}
