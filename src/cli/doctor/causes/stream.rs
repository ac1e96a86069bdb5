//! What the stream and the box do: rate, coding, network, time.

use super::super::limits;
use super::super::look::Observed;
use super::super::pass::{Outcome, Pass, real};
use super::super::spread::Spread;
use super::plate::spoken;
use super::{Affected, Cause, Facts, Kind, above, of_all};

/// From this rate on detections of a plate are joined, whatever its speed: one that was seen once is none.
const JOINED: f32 = 8.0;

/// Plates should be seen at least so often while they are large enough, when a rate is proposed.
const WANTED_FRAMES: f32 = 8.0;

pub(super) fn causes(passes: &[&Pass], seen: &Observed, facts: &Facts) -> Vec<Cause> {
    let coded = [interlaced(passes, seen), shape(passes, seen), compression(passes, seen)];
    let carried = [frame_rate(passes, seen), slow(passes, seen, facts), network(passes, seen)];
    coded.into_iter().chain(carried).flatten().collect()
}

pub(super) fn no_picture(seen: &Observed) -> Cause {
    let why = seen.error.clone().unwrap_or_else(|| "it ended before its first frame".to_owned());
    Cause {
        kind: Kind::NoPicture,
        costs_reads: true,
        passes: 0,
        weight: 9.0,
        what: format!("no picture came: {why}"),
        todo: vec![
            "`watchpost probe URI` says more; most cameras allow a second connection beside the daemon's, and one that does \
             not can be looked at while the daemon is stopped"
                .to_owned(),
        ],
    }
}

/// A fault of the whole stream: it counts for every pass.
fn throughout(kind: Kind, passes: &[&Pass], excess: f32, what: String, todo: Vec<String>) -> Cause {
    let affected = Affected::of(passes, |_| Some(excess));
    match affected {
        Some(affected) => affected.cause(kind, what, todo),
        None => Cause { kind, costs_reads: false, passes: 0, weight: 0.3, what, todo },
    }
}

fn interlaced(passes: &[&Pass], seen: &Observed) -> Option<Cause> {
    let coded = seen.probed.coded.as_ref().filter(|c| c.interlaced)?;
    let what = format!("{}: interlaced, every second line of a moving plate was taken at another time", coded.codec);
    let todo = vec!["set a progressive mode in the camera (25p or 30p instead of 50i or 60i)".to_owned()];
    Some(throughout(Kind::Interlaced, passes, 0.5, what, todo))
}

fn shape(passes: &[&Pass], seen: &Observed) -> Option<Cause> {
    if seen.probed.turned.is_some_and(|(_, mirrored)| mirrored) {
        let todo = vec!["switch mirroring off in the camera".to_owned()];
        let what = "the stream asks to be mirrored: mirrored plates cannot be read".to_owned();
        return Some(throughout(Kind::Shape, passes, 1.0, what, todo));
    }
    let (w, h) = seen.probed.coded.as_ref().and_then(|c| c.pixel_aspect)?;
    let what = format!("pixels of {w}:{h}: plates come out squeezed or stretched");
    let todo = vec!["choose a size of the camera's own shape, such as 1280×720 or 1920×1080".to_owned()];
    Some(throughout(Kind::Shape, passes, 0.0, what, todo))
}

fn compression(passes: &[&Pass], seen: &Observed) -> Option<Cause> {
    let measured = &seen.probed.measured;
    let rate = measured.bits_a_second.map_or_else(String::new, |bits| format!(" at {:.2} Mbit/s", bits / 1e6));
    let todo = || {
        vec![
            "raise the bit rate, or let it vary with the picture (VBR) up to 4 Mbit/s or more for 1920×1080; set the \
             quality to its highest step"
                .to_owned(),
            "switch the camera's \"smart\" codec off (H.264+, Zipstream …): it saves on what moves".to_owned(),
        ]
    };
    if let Some(quantiser) = measured.quantiser
        && let Some(excess) = above(quantiser, limits::QUANTISER)
    {
        let what = format!(
            "the coding throws letters away: key frames are quantised by {quantiser:.0} of 51{rate}; up to {:.0} does \
             little harm",
            limits::QUANTISER
        );
        // Six steps of the quantiser are a doubling of what is lost.
        return Some(throughout(Kind::Compression, passes, excess * 8.0, what, todo()));
    }
    let blocks = seen.blocks.filter(|_| measured.quantiser.is_none())?;
    let excess = above(blocks, limits::BLOCKS)?;
    let what = format!(
        "the picture shows the blocks of its coding{rate}: steps at their borders are {blocks:.1} times those within"
    );
    Some(throughout(Kind::Compression, passes, excess, what, todo()))
}

fn frame_rate(passes: &[&Pass], seen: &Observed) -> Option<Cause> {
    let fps = seen.fps?;
    // What stands, and what a mask or an edge cut off, was seen briefly for another reason.
    let excess = |p: &Pass| {
        let few = !p.stands && p.cut.is_none();
        above(limits::FRAMES, real(p.frames as usize)).filter(|_| few)
    };
    let affected = Affected::of(passes, excess);
    // At a low rate plates are not even joined to a track: each frame begins another.
    let lonely = if fps < JOINED { seen.passes.iter().filter(|p| p.frames == 1).count() } else { 0 };
    let (some, all) = (affected.as_ref().map_or(0, |a| a.passes) + lonely, passes.len() + lonely);
    if some * 3 < all || some == 0 || fps > 60.0 {
        return None;
    }
    let frames = Spread::of(seen.passes.iter().filter(|p| !p.stands).map(|p| real(p.frames as usize)))?;
    let wanted = (fps * WANTED_FRAMES / frames.middle.max(1.0)).clamp(fps * 1.5, 60.0);
    let speed = Spread::of(passes.iter().filter_map(|p| p.speed.map(|s| s / fps / p.width.max(1.0))));
    let mut what = format!(
        "too few frames of each pass: a plate is seen in {} at {fps:.1} frames a second ({})",
        spoken(&frames, 0),
        of_all(some, all)
    );
    if let Some(step) = speed {
        what = format!("{what}; it moves by {} of its widths from one to the next", spoken(&step, 1));
    }
    let todo = vec![
        format!(
            "set {:.0} frames a second in the camera, and `fps` of the configuration no lower",
            (wanted / 5.0).ceil() * 5.0
        ),
        "or show a longer piece of the road: aim along it rather than across".to_owned(),
    ];
    let weight = affected.as_ref().map_or(0.0, |a| a.weight) + 1.5 * real(lonely) / real(all.max(1));
    let costs_reads = affected.is_some_and(|a| a.costs_reads) || lonely > 0;
    Some(Cause { kind: Kind::FrameRate, costs_reads, passes: some, weight, what, todo })
}

fn slow(passes: &[&Pass], seen: &Observed, facts: &Facts) -> Option<Cause> {
    let share = share(seen.dropped, seen.frames + seen.dropped);
    if !facts.live || share <= limits::DROPPED {
        return None;
    }
    let cost = seen.cost.map_or_else(String::new, |cost| format!(", {:.0} ms of work each", cost.as_secs_f64() * 1e3));
    let what = format!(
        "the box was slower than the camera: {:.0} % of the frames were dropped{cost} (this look takes more than the daemon's \
         own)",
        share * 100.0
    );
    let todo = vec![
        "give the camera a `substream`, a lower `fps`, or a `roi`; switch the search for vehicles off; `watchpost bench` tells \
         what the box carries"
            .to_owned(),
    ];
    let unread = passes.iter().any(|p| p.outcome != Outcome::Read);
    let mut cause = throughout(Kind::Slow, passes, 0.3, what, todo);
    cause.costs_reads = unread;
    Some(cause)
}

fn network(passes: &[&Pass], seen: &Observed) -> Option<Cause> {
    let share = share(seen.damaged, seen.frames + seen.damaged);
    // The pictures before the first key frame are nobody's fault.
    if share <= 0.05 || seen.damaged < 60 {
        return None;
    }
    let what = format!("{} pictures came damaged or without what they refer to, {:.0} %", seen.damaged, share * 100.0);
    let todo = vec!["look at the way between camera and box: cable, wireless link, a full switch; use TCP".to_owned()];
    Some(throughout(Kind::Network, passes, 0.3, what, todo))
}

#[expect(clippy::cast_precision_loss, reason = "counts of frames")]
fn share(some: u64, all: u64) -> f64 {
    some as f64 / all.max(1) as f64
}
