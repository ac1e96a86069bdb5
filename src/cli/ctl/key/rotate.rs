//! `watchpostctl key rotate`: another signing key for boxes, without a moment in which none of their keys is believed.
//!
//! The box names its next key in an answer that its present key signs. That key goes into the registry beside the present
//! one; only then is the box told to change over. The key before stays believed for some days, for what it has signed and
//! what is still on its way. Cut off anywhere, the same command goes on where it was.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use super::super::Centre;
use super::super::ask::{self, Asking, Outcome, Question};
use crate::centre::boxes::{Boxes, KnownBox, OtherKey};
use crate::centre::keys::{Kid, PublicKey};
use crate::clock::Clock;
use crate::command::ops;
use crate::command::ops::key_rotate::{Answer, Args as Order};
use crate::domain::{BoxId, Op, TimeMs};

/// Options of `key rotate`.
#[derive(Debug, Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    asking: Asking,
    /// Days for which the key before is believed as well
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=90))]
    believe_old: u64,
}

/// A box whose next key is known.
struct Underway {
    box_id: BoxId,
    next: PublicKey,
}

pub(super) async fn run(centre: &Centre, options: Rotate) -> anyhow::Result<ExitCode> {
    let asking = &options.asking;
    let prepared = ask::gather(centre, asking, Question::new(Op::KeyRotate, ops::encode(&Order::default()))).await?;
    let total = prepared.len();
    let until = old_until(options.believe_old);
    let mut boxes = Boxes::read(&centre.boxes)?;
    let (mut underway, mut done, mut said) = (Vec::new(), 0, Vec::new());
    for (box_id, outcome) in prepared {
        match step(&mut boxes, &box_id, &outcome, until)? {
            Step::Prepared(next) => underway.push(Underway { box_id, next }),
            Step::WasDone(kid) => {
                said.push(format!("{box_id}: had changed over to key {kid} before, the registry has it now"));
                done += 1;
            }
            Step::Not(why) => said.push(format!("{box_id}: {why}")),
        }
    }
    // On disk before any box signs with what it names.
    boxes.write(&centre.boxes)?;
    for Underway { box_id, next } in underway {
        let order = Order { confirm: Some(next.kid().0.into()) };
        let one = Asking { box_ids: vec![box_id.clone()], site: None, all: false, ..asking.clone() };
        let answers = ask::gather(centre, &one, Question::new(Op::KeyRotate, ops::encode(&order))).await?;
        let outcome = answers.into_iter().next().map_or(Outcome::Silent, |(_, outcome)| outcome);
        match confirmed(&outcome, next.kid()) {
            Ok(()) => {
                change_over(&mut boxes, &box_id, &next, until)?;
                boxes.write(&centre.boxes)?;
                said.push(format!("{box_id}: signs with key {}; the one before counts until {until}", next.kid()));
                done += 1;
            }
            Err(why) => {
                said.push(format!("{box_id}: {why}: both keys are believed; run this again to finish the change"));
            }
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{done} of {total} boxes changed their key")?;
    said.iter().try_for_each(|line| writeln!(out, "{}", super::super::printable(line)))?;
    Ok(if done == total { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn old_until(days: u64) -> TimeMs {
    let span = Duration::from_hours(24).as_millis();
    let ms = u64::try_from(span).unwrap_or(u64::MAX).saturating_mul(days);
    TimeMs(Clock::system().utc().0.saturating_add(ms))
}

enum Step {
    /// The registry has its next key beside the present one.
    Prepared(PublicKey),
    /// It signs with the key that the registry had as its next one: only the last answer was lost.
    WasDone(Kid),
    /// Why not.
    Not(String),
}

/// What the first answer of a box comes to, and the registry as it is to be then.
fn step(boxes: &mut Boxes, box_id: &BoxId, outcome: &Outcome, until: TimeMs) -> anyhow::Result<Step> {
    let answer = match answer(outcome) {
        Ok(answer) => answer,
        Err(why) => return Ok(Step::Not(why)),
    };
    let known = known(boxes, box_id)?;
    let present = PublicKey::from_bytes(answer.present)?;
    if known.key != present && known.other.as_ref().is_some_and(|other| other.key == present) {
        change_over(boxes, box_id, &present, until)?;
        return Ok(Step::WasDone(present.kid()));
    }
    let next = answer.next.context("the box names no next key")?;
    let next = PublicKey::from_bytes(next.into())?;
    let other = Some(OtherKey { key: next.clone(), until: None });
    boxes.add(box_id.clone(), KnownBox { other, ..known });
    Ok(Step::Prepared(next))
}

fn answer(outcome: &Outcome) -> Result<Answer, String> {
    match outcome {
        Outcome::Answered(answer) => {
            ops::decode(answer.reply.result.as_deref().unwrap_or_default()).map_err(|e| e.to_string())
        }
        Outcome::Refused(reply) => Err(ask::why(reply)),
        Outcome::Silent | Outcome::Offline | Outcome::Unbelieved(_) => Err(ask::word(outcome).to_owned()),
    }
}

fn confirmed(outcome: &Outcome, kid: Kid) -> Result<(), String> {
    let present = PublicKey::from_bytes(answer(outcome)?.present).map_err(|e| e.to_string())?;
    if present.kid() == kid { Ok(()) } else { Err(format!("it still signs with key {}", present.kid())) }
}

fn known(boxes: &Boxes, box_id: &BoxId) -> anyhow::Result<KnownBox> {
    match boxes.iter().find(|(id, _)| *id == box_id) {
        Some((_, known)) => Ok(known.clone()),
        None => bail!("box {box_id} was taken out of the registry meanwhile"),
    }
}

/// Puts `next` into the first place and the key before beside it.
fn change_over(boxes: &mut Boxes, box_id: &BoxId, next: &PublicKey, until: TimeMs) -> anyhow::Result<()> {
    let before = known(boxes, box_id)?;
    let other = Some(OtherKey { key: before.key, until: Some(until) });
    boxes.add(box_id.clone(), KnownBox { site: before.site, key: next.clone(), other });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::keys::SigningKey;
    use crate::centre::wire::Reply;
    use crate::domain::{ClockState, CommandStatus, Reason, SiteId};

    const UNTIL: TimeMs = TimeMs(1_767_830_400_000);

    fn key(seed: u8) -> PublicKey {
        SigningKey::from_seed(&[seed; 32]).unwrap().public().clone()
    }

    fn answered(present: u8, next: Option<u8>) -> Outcome {
        let result = Answer { present: *key(present).as_bytes(), next: next.map(|n| (*key(n).as_bytes()).into()) };
        let mut reply = Reply::new([1; 16], CommandStatus::Successful, TimeMs(0), ClockState::Synced);
        reply.result = Some(ops::encode(&result));
        Outcome::Answered(ask::Answer {
            reply,
            attachments: std::collections::BTreeMap::new(),
            missing: Vec::new(),
            signed: crate::centre::ask::Signed::default(),
        })
    }

    fn registry() -> (Boxes, BoxId) {
        let (mut boxes, id) = (Boxes::default(), BoxId::new("box-1").unwrap());
        boxes.add(id.clone(), KnownBox::new(SiteId::new("north").unwrap(), key(1)));
        (boxes, id)
    }

    fn keys(boxes: &Boxes, id: &BoxId) -> (PublicKey, Option<OtherKey>) {
        let known = known(boxes, id).unwrap();
        (known.key, known.other)
    }

    #[test]
    fn both_keys_are_believed_before_the_box_changes_over_and_the_old_one_for_a_time_after() {
        let (mut boxes, id) = registry();
        let Step::Prepared(next) = step(&mut boxes, &id, &answered(1, Some(2)), UNTIL).unwrap() else { panic!() };
        assert_eq!(keys(&boxes, &id), (key(1), Some(OtherKey { key: key(2), until: None })));
        assert_eq!(confirmed(&answered(2, None), next.kid()), Ok(()));
        assert!(confirmed(&answered(1, None), next.kid()).unwrap_err().contains("still signs"));
        change_over(&mut boxes, &id, &next, UNTIL).unwrap();
        assert_eq!(keys(&boxes, &id), (key(2), Some(OtherKey { key: key(1), until: Some(UNTIL) })));
    }

    #[test]
    fn a_change_whose_last_answer_was_lost_is_finished_and_none_of_the_two_keys_is_dropped() {
        let (mut boxes, id) = registry();
        assert!(matches!(step(&mut boxes, &id, &answered(1, Some(2)), UNTIL), Ok(Step::Prepared(_))));
        // The box has changed over, and prepares a third key when it is asked again.
        assert!(
            matches!(step(&mut boxes, &id, &answered(2, Some(3)), UNTIL), Ok(Step::WasDone(kid)) if kid == key(2).kid())
        );
        assert_eq!(keys(&boxes, &id), (key(2), Some(OtherKey { key: key(1), until: Some(UNTIL) })));
    }

    #[test]
    fn a_box_that_refuses_or_is_silent_leaves_the_registry_as_it_is() {
        let (mut boxes, id) = registry();
        let refused =
            Reply::new([1; 16], CommandStatus::Denied, TimeMs(0), ClockState::Synced).because(Reason::Role, "no");
        for outcome in [Outcome::Refused(refused), Outcome::Silent, Outcome::Offline] {
            assert!(matches!(step(&mut boxes, &id, &outcome, UNTIL), Ok(Step::Not(_))));
        }
        assert_eq!(keys(&boxes, &id), (key(1), None));
    }
}
