//! Detections in, tracks out: the two text formats that trackers are scored in.
//!
//! In: comma-separated `frame,x1,y1,x2,y2,score,class` (frames from 0, classes as in COCO: 0 person, 2 car, 3 motorbike,
//! 5 bus, 7 truck; others are left out), or the detection file of the MOT Challenge, `frame,-1,x,y,w,h,score,…` (frames from
//! 1, persons). Out: KITTI's tracking format or that of the MOT Challenge. Used by the example and by the test that
//! holds the tracker to its level.

use std::fmt::Write as _;
use std::time::Duration;

use watchpost::domain::{Class, Detection, Rect};
use watchpost::vision::track::{Settings, Tracker};

/// Which of the two formats a file is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Frames from 0, boxes by their corners, a class a row.
    Kitti,
    /// Frames from 1, boxes by corner and size, persons alone.
    Mot,
}

/// A box of a track in one frame.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// From 0.
    pub frame: usize,
    pub track: u32,
    pub class: Class,
    pub score: f32,
    pub rect: Rect,
}

/// The detections of each frame of `text`, from frame 0 of KITTI's and 1 of the MOT Challenge's.
///
/// # Errors
/// The first line that is not of the format.
pub fn read(text: &str) -> Result<(Form, Vec<Vec<Detection>>), String> {
    let form = if text.lines().next().is_some_and(|l| l.split(',').count() == 7) { Form::Kitti } else { Form::Mot };
    let mut frames: Vec<Vec<Detection>> = Vec::new();
    for (n, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let fault = || format!("line {}: wanted comma-separated numbers of one frame's box, got {line:?}", n + 1);
        let values: Vec<f32> =
            line.split(',').map(|v| v.trim().parse()).collect::<Result<_, _>>().map_err(|_| fault())?;
        let first = line.split(',').next().and_then(|v| v.trim().parse::<usize>().ok()).ok_or_else(fault)?;
        let (frame, class, score, rect) = match (form, values.as_slice()) {
            (Form::Kitti, &[_, x1, y1, x2, y2, score, class]) => {
                (first, of_coco(class), score, Rect::new(x1, y1, x2, y2))
            }
            (Form::Mot, &[_, _, x, y, w, h, score, ..]) => {
                (first.checked_sub(1).ok_or_else(fault)?, Some(Class::Person), score, Rect::new(x, y, x + w, y + h))
            }
            _ => return Err(fault()),
        };
        if frame > 1_000_000 {
            return Err(fault());
        }
        if frames.len() <= frame {
            frames.resize_with(frame + 1, Vec::new);
        }
        if let (Some(class), Some(of)) = (class, frames.get_mut(frame)) {
            of.push(Detection { class, score, rect, corners: None });
        }
    }
    Ok((form, frames))
}

fn of_coco(class: f32) -> Option<Class> {
    let of = [(0.0, Class::Person), (2.0, Class::Car), (3.0, Class::Motorbike), (5.0, Class::Bus), (7.0, Class::Truck)];
    of.into_iter().find(|(n, _)| (class - n).abs() < 0.5).map(|(_, class)| class)
}

/// Follows what was detected, with the settings that the box uses: the boxes of sure tracks, as they were detected.
///
/// Each row can be told with its frame. `from_start` adds the frames before a track was sure: those can be told
/// `confirm_hits - 1` detections late, one with the box's settings.
pub fn follow(frames: &[Vec<Detection>], fps: f64, from_start: bool) -> Vec<Row> {
    let mut tracker = Tracker::new(Settings::default());
    let (mut rows, mut unsure): (Vec<Row>, Vec<Row>) = (Vec::new(), Vec::new());
    for (n, detections) in (0_u32..).zip(frames) {
        let step = tracker.step(Duration::from_secs_f64(f64::from(n) / fps), detections);
        unsure.retain(|row| !step.ended.iter().any(|e| e.track == row.track));
        for update in &step.seen {
            let Some(d) = detections.get(update.detection) else { continue };
            let row = Row { frame: n as usize, track: update.track, class: d.class, score: d.score, rect: d.rect };
            if update.confirmed {
                rows.extend(unsure.extract_if(.., |r| r.track == update.track).filter(|_| from_start));
                rows.push(row);
            } else {
                unsure.push(row);
            }
        }
    }
    rows.sort_by_key(|r| (r.frame, r.track));
    rows
}

/// `rows` as text in `form`.
pub fn write(form: Form, rows: &[Row]) -> String {
    let mut out = String::new();
    for Row { frame, track, class, score, rect: r } in rows {
        // Writing to a string can't fail.
        let _ = match form {
            Form::Kitti => writeln!(
                out,
                "{frame} {track} {} -1 -1 -10 {:.2} {:.2} {:.2} {:.2} -1 -1 -1 -1000 -1000 -1000 -10 {score:.4}",
                if *class == Class::Person { "Pedestrian" } else { "Car" },
                r.x1,
                r.y1,
                r.x2,
                r.y2
            ),
            Form::Mot => writeln!(
                out,
                "{},{track},{:.2},{:.2},{:.2},{:.2},1,-1,-1,-1",
                frame + 1,
                r.x1,
                r.y1,
                r.width(),
                r.height()
            ),
        };
    }
    out
}
