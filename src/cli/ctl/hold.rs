//! `watchpostctl hold`: what a case needs is kept beyond its time, until two people release it.

use std::io::Write;
use std::process::ExitCode;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::ask::{self, Answer, Asking, Question, Show};
use super::verdict::{id_of, plate_of};
use super::{Centre, printable};
use crate::clock::Clock;
use crate::command::ops::retention_set::in_words;
use crate::command::ops::{self, hold};
use crate::domain::{BoxId, CameraId, CameraSpan, EventId, Hold, HoldScope, Op, PlateText, TimeMs};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Hold a hit, a plate, or what a camera saw in a span of time (--case is needed)
    Place(Box<Place>),
    /// Release a hold: what it kept beyond its time is deleted (--second is needed)
    Release(Release),
    /// The holds in force, those due for review first, and how long things are kept
    List(List),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("scope").required(true).args(["hit", "plate", "camera"]))]
struct Place {
    /// Id of an alert: its sighting with all its hits and pictures
    #[arg(long, value_name = "ID", value_parser = id_of)]
    hit: Option<EventId>,
    /// Every sighting of exactly this plate, past and to come
    #[arg(long, value_name = "PLATE", value_parser = plate_of)]
    plate: Option<PlateText>,
    /// What this camera saw between --from and --to
    #[arg(long, value_name = "CAMERA", requires_all = ["from", "to"])]
    camera: Option<CameraId>,
    /// First moment, RFC 3339 (2026-01-31T08:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = time_of)]
    from: Option<TimeMs>,
    /// Last moment
    #[arg(long, value_name = "TIME", value_parser = time_of)]
    to: Option<TimeMs>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Days until somebody must look whether it is still needed
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=1830))]
    review_days: u64,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Release {
    /// Its number on the box
    #[arg(value_name = "NUMBER")]
    number: u32,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    asking: Asking,
}

/// A moment as RFC 3339 says it.
pub(super) fn time_of(text: &str) -> Result<TimeMs, String> {
    let format = time::format_description::well_known::Rfc3339;
    let at =
        time::OffsetDateTime::parse(text, &format).map_err(|e| format!("is no time like 2026-01-31T08:00:00Z: {e}"))?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).map(TimeMs).map_err(|_| "is before 1970".to_owned())
}

impl Place {
    fn scope(&self) -> Option<HoldScope> {
        let span = || {
            let camera = self.camera.clone()?;
            Some(HoldScope::Span(CameraSpan { camera, number: None, from: self.from?, to: self.to? }))
        };
        let plate = || self.plate.clone().map(HoldScope::Plate);
        self.hit.map(HoldScope::Hit).or_else(plate).or_else(span)
    }
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    match options.what {
        What::Place(place) => {
            let Some(scope) = place.scope() else { anyhow::bail!("say what to hold: --hit, --plate or --camera") };
            let review = TimeMs(Clock::system().utc().0 + place.review_days * 86_400_000);
            let args = hold::place::Args { scope, reason: place.reason.clone(), review };
            ask::run(centre, &place.asking, Question::new(Op::HoldPlace, ops::encode(&args)), &Placed).await
        }
        What::Release(release) => {
            let args = hold::release::Args { number: release.number };
            let show = Released(release.number);
            ask::run(centre, &release.asking, Question::new(Op::HoldRelease, ops::encode(&args)), &show).await
        }
        What::List(list) => {
            let args = ops::encode(&hold::list::Args {});
            ask::run(centre, &list.asking, Question::new(Op::HoldList, args), &Listed).await
        }
    }
}

struct Placed;

impl Placed {
    fn of(answer: &Answer) -> anyhow::Result<u32> {
        Ok(ops::decode::<hold::place::Answer>(answer.reply.result.as_deref().unwrap_or_default())?.number)
    }
}

impl Show for Placed {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        Ok(json!({ "hold": Self::of(answer)? }))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        Ok(writeln!(out, "{box_id}: hold {} is placed", Self::of(answer)?)?)
    }
}

struct Released(u32);

impl Released {
    fn of(answer: &Answer) -> anyhow::Result<u64> {
        Ok(ops::decode::<hold::release::Answer>(answer.reply.result.as_deref().unwrap_or_default())?.rows)
    }
}

impl Show for Released {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        Ok(json!({ "hold": self.0, "rows": Self::of(answer)? }))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        Ok(writeln!(out, "{box_id}: hold {} is released, rows deleted: {}", self.0, Self::of(answer)?)?)
    }
}

/// Holds and retention in force.
pub(super) struct Listed;

impl Listed {
    fn of(answer: &Answer) -> anyhow::Result<hold::list::Answer> {
        Ok(ops::decode(answer.reply.result.as_deref().unwrap_or_default())?)
    }
}

fn scope_words(scope: &HoldScope) -> String {
    match scope {
        HoldScope::Hit(id) => format!("hit {id}"),
        HoldScope::Plate(plate) => format!("plate {}", printable(plate.as_str())),
        HoldScope::Span(span) => {
            format!("camera {} from {} to {}", printable(span.camera.as_str()), span.from, span.to)
        }
    }
}

fn hold_json(hold: &Hold) -> Value {
    let scope = match &hold.scope {
        HoldScope::Hit(id) => json!({ "hit": id.to_string() }),
        HoldScope::Plate(plate) => json!({ "plate": plate.as_str() }),
        HoldScope::Span(span) => json!({
            "camera": span.camera.as_str(), "from": span.from.to_string(), "to": span.to.to_string(),
        }),
    };
    json!({
        "number": hold.number, "scope": scope, "case": hold.case, "reason": hold.reason,
        "review": hold.review.to_string(), "placed_by": hold.placed.by, "org": hold.placed.org,
        "placed": hold.placed.at.to_string(),
    })
}

impl Show for Listed {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        let list = Self::of(answer)?;
        Ok(json!({
            "holds": list.holds.iter().map(hold_json).collect::<Vec<_>>(), "all": list.all, "overdue": list.overdue,
            "unreadable": list.unreadable, "retention": list.retention.as_ref().map(in_words),
            "configured": in_words(&list.configured), "set_by": list.set.as_ref().map(|mark| mark.by.clone()),
        }))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let list = Self::of(answer)?;
        let retention = list
            .retention
            .as_ref()
            .map_or_else(|| "not known: what was set does not open, and nothing is deleted".to_owned(), in_words);
        let by = list.set.as_ref().map_or_else(
            || "as configured".to_owned(),
            |mark| format!("set by {} at {}", printable(&mark.by), mark.at),
        );
        writeln!(out, "{box_id}: kept: {retention} ({by})")?;
        for (place, hold) in list.holds.iter().enumerate() {
            let due = if place < usize::try_from(list.overdue).unwrap_or(usize::MAX) { ", DUE" } else { "" };
            writeln!(
                out,
                "{box_id}: hold {}: {}; case {}, review {}{due}; {} of {}: {}",
                hold.number,
                scope_words(&hold.scope),
                printable(&hold.case),
                hold.review,
                printable(&hold.placed.by),
                printable(&hold.placed.org),
                printable(&hold.reason),
            )?;
        }
        for number in &list.unreadable {
            writeln!(out, "{box_id}: hold {number} does not open: nothing is deleted until it is released")?;
        }
        let more = usize::try_from(list.all).unwrap_or(usize::MAX).saturating_sub(list.holds.len());
        if more > 0 {
            writeln!(out, "{box_id}: and {more} more holds")?;
        }
        Ok(())
    }
}
