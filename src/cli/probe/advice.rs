//! What the facts mean for reading plates, in an installer's words.
//!
//! Numbers come from what was measured a moment ago on this machine, or from the rules of `docs/install.md`. One
//! function a subject; each says when all is well too, so that silence never has to be guessed at.

use std::time::Duration;

use super::show::seconds;
use crate::camera::probe::{Coded, Probed};
use crate::camera::{KEY_FRAME_WITHIN, MAX_SIDES};
use crate::cli::check::Finding;

/// Key frames further apart than this make a reconnect slow.
const KEYS_APART: Duration = Duration::from_secs(4);
/// A plate must be so many pixels wide where it is sharpest (`docs/install.md`).
const PLATE_PIXELS: f64 = 60.0;
/// A European plate, metres; others are shorter (0.30 m in North America).
const PLATE_METRES: f64 = 0.52;
/// 50 km/h.
const METRES_A_SECOND: f64 = 13.9;
/// A vehicle should be seen at least so often on its way through the picture.
const FEW_FPS: f64 = 5.0;

/// Everything that is to be said of what was found.
pub(super) fn findings(probed: &Probed) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(broken_off(probed));
    findings.extend(codec(probed));
    if probed.first_frame.is_some() {
        findings.extend(size(probed));
        findings.extend(layout(probed));
        findings.extend(rate(probed));
        findings.extend(key_frames(probed));
        findings.extend(delay(probed));
        findings.extend(cost(probed));
        findings.extend(way(probed));
        findings.extend(damaged(probed));
    }
    findings.extend(others(probed));
    findings
}

fn broken_off(probed: &Probed) -> Option<Finding> {
    let error = probed.error.as_ref().filter(|_| probed.first_frame.is_some())?;
    Some(Finding::warning(
        "stream",
        format!("broke off after {}: {error}", seconds(probed.measured.span)),
        "probe again; a stream that breaks off often has a bad cable, too little power or too many viewers",
    ))
}

fn fps(probed: &Probed) -> Option<f64> {
    probed.measured.fps.or(probed.coded.as_ref().and_then(|c| c.fps))
}

fn codec(probed: &Probed) -> Option<Finding> {
    let coded = probed.coded.as_ref()?;
    Some(match coded.codec.as_str() {
        "H.265" => Finding::ok("codec", "H.265: takes about half as much CPU again as H.264 to decode"),
        "Motion JPEG" => Finding::warning(
            "codec",
            "Motion JPEG: every picture is whole, which takes many times the network of H.264",
            "set H.264 in the camera if it has it",
        ),
        name => Finding::ok("codec", format!("{name} is what watchpost decodes")),
    })
}

fn size(probed: &Probed) -> Vec<Finding> {
    let Some((width, height)) = probed.decoded.map(|d| d.size) else { return Vec::new() };
    let across = f64::from(width) / PLATE_PIXELS * PLATE_METRES;
    let what = format!(
        "{width}×{height}: a plate of {:.0} cm has the {PLATE_PIXELS:.0} pixels it needs where the picture shows at most \
         {across:.0} m from left to right",
        PLATE_METRES * 100.0
    );
    let mut findings = vec![if width.max(height) < 1_280 {
        Finding::warning("size", what, "choose a larger stream of the camera, or zoom in on one lane")
    } else {
        Finding::ok("size", what)
    }];
    if u64::from(width) * u64::from(height) > 1_920 * 1_200 {
        findings.push(Finding::warning(
            "size",
            format!("larger than 1920×1080: all of it is decoded (up to {}×{} is)", MAX_SIDES.0, MAX_SIDES.1),
            "if the camera has a smaller stream of the same view, give it as `substream`",
        ));
    }
    findings
}

fn layout(probed: &Probed) -> Vec<Finding> {
    let Some(coded) = probed.coded.as_ref() else { return Vec::new() };
    let mut findings = Vec::new();
    let kind = |c: &Coded| (c.chroma.clone().unwrap_or_else(|| "4:2:0".to_owned()), c.bits.unwrap_or(8));
    let (chroma, bits) = kind(coded);
    if (chroma.as_str(), bits) != ("4:2:0", 8) {
        findings.push(Finding::warning(
            "colour",
            format!("{bits}-bit {chroma}: decoded at more cost, and no plate is read better for it"),
            "set 8-bit 4:2:0 in the camera (H.264 main or high profile)",
        ));
    }
    if coded.interlaced {
        findings.push(Finding::warning(
            "picture",
            "interlaced: every second line of a moving plate was taken at another time, and is of no use",
            "set a progressive mode (25p or 30p instead of 50i or 60i)",
        ));
    }
    if let Some((w, h)) = coded.pixel_aspect {
        findings.push(Finding::warning(
            "picture",
            format!("pixels of {w}:{h}: plates come out squeezed or stretched"),
            "choose a size of the camera's own shape, such as 1280×720 or 1920×1080",
        ));
    }
    if let Some((degrees, mirrored)) = probed.turned {
        let what = format!("the stream asks to be turned by {degrees}°{}", if mirrored { " and mirrored" } else { "" });
        findings.push(if mirrored {
            Finding::warning("picture", what, "switch mirroring off in the camera: mirrored plates cannot be read")
        } else {
            Finding::ok("picture", format!("{what}, which is done; `rotate` in the block says otherwise"))
        });
    }
    findings
}

fn rate(probed: &Probed) -> Vec<Finding> {
    let Some(fps) = fps(probed) else { return Vec::new() };
    let mut findings = Vec::new();
    let metres = METRES_A_SECOND / fps;
    let what = format!("{fps:.1} frames a second: at 50 km/h a vehicle moves {metres:.1} m between two");
    findings.push(if fps < FEW_FPS {
        Finding::warning("rate", what, "set 10 frames a second or more in the camera")
    } else {
        Finding::ok("rate", what)
    });
    let declared = probed.coded.as_ref().and_then(|c| c.fps);
    if let (Some(declared), true, Some(measured)) = (declared, probed.live, probed.measured.fps)
        && (measured - declared).abs() > declared * 0.1
    {
        findings.push(Finding::warning(
            "rate",
            format!("the stream declares {declared:.1} frames a second, and {measured:.1} came"),
            "in the dark cameras slow down for a longer exposure: limit the exposure time; otherwise look at the network",
        ));
    }
    findings
}

fn key_frames(probed: &Probed) -> Option<Finding> {
    let keys = probed.measured.keys;
    if !probed.coded.as_ref().is_some_and(Coded::has_key_frames) || probed.measured.pictures == 0 || !probed.live {
        return None;
    }
    let two_seconds = fps(probed).map_or_else(String::new, |fps| format!(" ({:.0} frames)", fps * 2.0));
    let todo = format!("set the camera's key-frame (I-frame, GOP) interval to 2 s{two_seconds}");
    let (Some((shortest, longest)), Some(time)) = (keys.pictures, keys.longest) else {
        let span = seconds(probed.measured.span);
        let what = format!(
            "no second key frame came within {span}: after a reconnect the first picture takes longer than that, and the \
             camera is given up after {}",
            seconds(KEY_FRAME_WITHIN)
        );
        return Some(Finding::warning("key frames", what, todo));
    };
    if time >= KEY_FRAME_WITHIN {
        let what = format!(
            "{} apart: the first picture after a reconnect may take longer than the {} after which a camera is given up",
            seconds(time),
            seconds(KEY_FRAME_WITHIN)
        );
        return Some(Finding::warning("key frames", what, todo));
    }
    if time > KEYS_APART {
        let time = seconds(time);
        let what = format!("{time} apart: after a reconnect the first picture takes up to {time}");
        return Some(Finding::warning("key frames", what, todo));
    }
    if longest > shortest * 2 + 2 {
        let what =
            format!("{shortest} to {longest} frames apart: the camera saves on a still scene (H.264+, Zipstream …)");
        let todo =
            "switch its \"smart\" codec or dynamic GOP off: it saves on the very pictures in which a vehicle appears";
        return Some(Finding::warning("key frames", what, todo));
    }
    Some(Finding::ok("key frames", format!("every {longest} frames, {}", seconds(time))))
}

fn delay(probed: &Probed) -> Option<Finding> {
    let waits = probed.measured.reordered;
    let (true, true, Some(fps)) = (waits > 0, probed.live, fps(probed)) else { return None };
    let ms = waits as f64 / fps * 1e3;
    Some(Finding::warning(
        "delay",
        format!("B-frames: each alert comes {ms:.0} ms later, since a picture waits for up to {waits} that follow it"),
        "set the profile to baseline, or B-frames to 0, in the camera",
    ))
}

fn cost(probed: &Probed) -> Option<Finding> {
    let (ms, fps) = (probed.cost_ms?, fps(probed)?);
    let share = ms * fps / 10.0;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let what = format!(
        "{ms:.1} ms of CPU a frame on this machine: {fps:.0} frames a second take {share:.0} % of one of its {cores} cores \
         before any plate is looked for"
    );
    Some(if share > 60.0 {
        Finding::warning("cost", what, "choose a smaller size or fewer frames a second, or give a `substream`")
    } else {
        Finding::ok("cost", what)
    })
}

fn way(probed: &Probed) -> Vec<Finding> {
    let mut findings = Vec::new();
    let pause = probed.measured.longest_pause;
    let usual = fps(probed).map_or(Duration::ZERO, |fps| Duration::from_secs_f64((5.0 / fps).clamp(0.0, 60.0)));
    if probed.live && pause > usual.max(Duration::from_millis(500)) {
        findings.push(Finding::warning(
            "network",
            format!("no picture for {} at one time", seconds(pause)),
            "look at the way between camera and box: wireless, a full link, too many viewers at the camera",
        ));
    }
    if probed.transport == Some("UDP") {
        findings.push(Finding::warning(
            "network",
            "pictures come over UDP: a lost packet spoils them until the next key frame",
            "let the camera offer RTSP over TCP",
        ));
    }
    findings
}

/// Fewer frames than pictures: the decoder could not use some.
fn damaged(probed: &Probed) -> Option<Finding> {
    let (pictures, frames) = (probed.measured.pictures as u64, probed.frames);
    // Some are on their way through the decoder when the look ends.
    let missing = pictures.saturating_sub(frames + 20);
    (probed.coded.is_some() && missing > pictures / 10).then(|| {
        Finding::warning(
            "stream",
            format!(
                "of {pictures} pictures {frames} could be decoded: the others are damaged or came without a key frame"
            ),
            "look at the network; a camera that does so always needs another firmware or codec setting",
        )
    })
}

fn others(probed: &Probed) -> Vec<Finding> {
    let unused = || probed.streams.iter().filter(|s| !s.used);
    let mut findings: Vec<Finding> = Vec::new();
    for stream in unused().filter(|s| s.media == "audio") {
        let what = format!("it also sends sound ({}), which watchpost never takes", stream.codec);
        findings.push(Finding::warning("privacy", what, "switch the microphone off in the camera if nobody needs it"));
    }
    let video: Vec<&str> = unused().filter(|s| s.media == "video").map(|s| s.codec.as_str()).collect();
    if !video.is_empty() && probed.first_frame.is_some() {
        findings
            .push(Finding::ok("streams", format!("more video in the same address, not used: {}", video.join(", "))));
    }
    findings
}
