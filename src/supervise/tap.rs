//! Where a camera's thread hands out a picture of now: to commands as it is, to the console with what is followed and nobody to
//! recognise, to both behind the privacy masks.
//!
//! Made at the camera's own thread, from the next frame that comes; whoever asks waits, the camera for nobody. As long as nobody asks,
//! a tap costs a frame the reading of one flag. Nothing is kept.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::camera::idle::Idle;
use crate::console::{Live, Mark};
use crate::domain::{Class, Frame, Polygon, Rect};
use crate::vision::analyser::Marked;
use crate::vision::mask::{Mask, Seen};
use crate::vision::pictures;

/// What was made of a frame, or why nothing.
pub(super) type Made<T> = Result<T, String>;

/// What the console has to know of a frame; asked for when somebody looks.
pub(super) struct Sight<'a> {
    /// What is followed in it.
    pub(super) marks: &'a dyn Fn() -> Vec<Marked>,
    /// What covers every person in it, followed or not.
    pub(super) persons: &'a dyn Fn(&Seen<'_>) -> Made<Vec<Rect>>,
}

/// Most who wait for a picture of one camera; the oldest of more has given up.
const MOST_WAITING: usize = 8;
/// A JPEG.
type Picture = Made<Vec<u8>>;

/// Where a camera's thread hands out a picture when somebody wants one.
#[derive(Debug, Default)]
pub(super) struct Tap {
    wanted: AtomicBool,
    asked: Mutex<Vec<SyncSender<Picture>>>,
    watching: Mutex<Vec<SyncSender<Made<Live>>>>,
    /// What wakes the camera, where it may be idle: a picture of now is not to wait for its next key frame.
    idle: Mutex<Option<Arc<Idle>>>,
}

impl Tap {
    /// Asks for the next frame. The answer fits into the channel: nobody waits for whoever asked.
    pub(super) fn ask(&self) -> Receiver<Picture> {
        self.want(&self.asked)
    }

    /// The same, for the console.
    pub(super) fn watch(&self) -> Receiver<Made<Live>> {
        self.want(&self.watching)
    }

    fn want<T>(&self, asked: &Mutex<Vec<SyncSender<T>>>) -> Receiver<T> {
        let (to, from) = sync_channel(1);
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        // Who gave up is still here while the camera gives nothing.
        if asked.len() >= MOST_WAITING {
            asked.remove(0);
        }
        asked.push(to);
        drop(asked);
        self.wanted.store(true, Ordering::Release);
        if let Some(idle) = &*self.idle.lock().unwrap_or_else(PoisonError::into_inner) {
            idle.wake();
        }
        from
    }

    /// Whoever asks wakes `idle`.
    pub(super) fn rouses(&self, idle: Option<Arc<Idle>>) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = idle;
    }

    /// Called with every frame; hands it out, as it may be seen, to all who asked. `elsewhere`: the camera was moved, so that masks
    /// lie wrong and a camera that has some gives no picture.
    pub(super) fn serve(&self, frame: &Frame, masks: &[Polygon], elsewhere: bool, sight: &Sight<'_>) {
        if !self.wanted.load(Ordering::Relaxed) || !self.wanted.swap(false, Ordering::AcqRel) {
            return;
        }
        let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        let watching = std::mem::take(&mut *self.watching.lock().unwrap_or_else(PoisonError::into_inner));
        let may_be_seen = if elsewhere && !masks.is_empty() {
            Err("it was moved or its view changed, so that its privacy masks lie wrong: no picture is given".to_owned())
        } else {
            Ok(())
        };
        give(&asked, || may_be_seen.clone().and_then(|()| picture(frame, masks)));
        give(&watching, || may_be_seen.clone().and_then(|()| live(frame, masks, sight)));
    }
}

/// Gives what is made once to all who asked for it.
fn give<T: Clone>(asked: &[SyncSender<T>], make: impl FnOnce() -> T) {
    if asked.is_empty() {
        return;
    }
    let made = make();
    for to in asked {
        // Whoever does not wait any more is gone.
        let _ = to.try_send(made.clone());
    }
}

/// A frame as the console shows it.
fn live(frame: &Frame, masks: &[Polygon], sight: &Sight<'_>) -> Made<Live> {
    let mask = Mask::new(masks.to_vec());
    let seen = mask.apply(frame).map_err(|e| e.to_string())?;
    let marks = (sight.marks)();
    let found =
        (sight.persons)(&seen).map_err(|e| format!("persons can't be looked for, so no picture is given: {e}"))?;
    let followed = marks.iter().filter(|m| m.class == Class::Person).map(|m| m.cover);
    let persons: Vec<_> = followed.chain(found).collect();
    let pictures = pictures::of_object(&seen, None, &persons).ok_or("its picture cannot be encoded")?;
    let (width, height) = seen.size();
    // The larger picture of its moment is what a plate is read on.
    let format = frame.detail().unwrap_or(frame).format;
    let size = (format.width, format.height);
    // What the masks hide is not followed; a box that reaches into one tells only where something went.
    let mark = |m: &Marked| Mark { class: m.class, rect: m.rect.relative(width, height), confirmed: m.confirmed };
    Ok(Live { jpeg: pictures.scene, size, marks: marks.iter().map(mark).collect() })
}

/// A frame, or the larger picture of its moment, as it may be seen.
fn picture(frame: &Frame, masks: &[Polygon]) -> Picture {
    let mask = Mask::new(masks.to_vec());
    let seen = mask.apply(frame).map_err(|e| e.to_string())?;
    let detail = seen.detail().map_err(|e| e.to_string())?;
    let shown = detail.as_ref().unwrap_or(&seen);
    pictures::whole(shown).ok_or_else(|| "its picture cannot be encoded".to_owned())
}

/// What tests of others hand to a tap.
#[cfg(test)]
pub(super) mod testkit {
    use std::time::Duration;

    use super::Sight;
    use crate::domain::frame::OwnedI420;
    use crate::domain::{Frame, TimeMs};

    /// Nothing is followed, nobody is there.
    pub const EMPTY: Sight<'_> = Sight { marks: &Vec::new, persons: &|_| Ok(Vec::new()) };

    /// A frame of these colours.
    pub fn frame(rgb: &[u8], width: u32, height: u32) -> Frame {
        let (format, pixels) = OwnedI420::from_rgb(rgb, width, height);
        Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels))
    }

    /// A small white one.
    pub fn white() -> Frame {
        frame(&vec![255; 64 * 48 * 3], 64, 48)
    }
}

#[cfg(test)]
mod tests {
    use super::testkit::{EMPTY, frame, white};
    use super::*;

    #[test]
    fn a_picture_comes_from_the_next_frame_and_is_masked() {
        let tap = Tap::default();
        let right = Polygon::new(vec![[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]);
        tap.serve(&white(), std::slice::from_ref(&right), false, &EMPTY);
        let asked = tap.ask();
        assert!(asked.try_recv().is_err(), "not of one that was there before");
        tap.serve(&white(), std::slice::from_ref(&right), false, &EMPTY);
        let picture = image::load_from_memory(&asked.try_recv().unwrap().unwrap()).unwrap().to_luma8();
        assert_eq!(picture.dimensions(), (64, 48));
        assert!(picture.get_pixel(10, 24).0[0] > 240 && picture.get_pixel(52, 24).0[0] < 20);
        // One that was moved shows what its masks should hide.
        let asked = tap.ask();
        tap.serve(&white(), std::slice::from_ref(&right), true, &EMPTY);
        assert!(asked.try_recv().unwrap().unwrap_err().contains("masks lie wrong"));
        let asked = tap.ask();
        tap.serve(&white(), &[], true, &EMPTY);
        assert!(asked.try_recv().unwrap().is_ok(), "without masks there is nothing to hide");
    }

    #[test]
    fn what_the_console_shows_has_no_person_to_recognise() {
        let tap = Tap::default();
        // Stripes of two pixels: what is covered loses them.
        let striped = || {
            let rgb: Vec<u8> = (0..640 * 360).flat_map(|at| [if at % 640 / 2 % 2 == 0 { 255 } else { 0 }; 3]).collect();
            frame(&rgb, 640, 360)
        };
        let rect = Rect::new(320.0, 90.0, 440.0, 270.0);
        let marks = || vec![Marked { class: Class::Person, rect, cover: rect.grown(20.0), confirmed: false }];
        let wanted = tap.watch();
        let blind = |_: &Seen<'_>| Err("the model gave nothing".to_owned());
        tap.serve(&striped(), &[], false, &Sight { marks: &marks, persons: &blind });
        assert!(wanted.try_recv().unwrap().unwrap_err().contains("so no picture is given: the model gave nothing"));
        // One who is followed by nothing yet, as outside the region that is looked at.
        let wanted = tap.watch();
        let stranger = |_: &Seen<'_>| Ok(vec![Rect::new(20.0, 70.0, 180.0, 290.0)]);
        tap.serve(&striped(), &[], false, &Sight { marks: &Vec::new, persons: &stranger });
        let picture = image::load_from_memory(&wanted.try_recv().unwrap().unwrap().jpeg).unwrap().to_luma8();
        let row = (60..160).map(|x| picture.get_pixel(x, 180).0[0]);
        assert!(row.clone().max().unwrap() - row.min().unwrap() < 60);
        let wanted = tap.watch();
        tap.serve(&striped(), &[], false, &Sight { marks: &marks, ..EMPTY });
        let shown = wanted.try_recv().unwrap().unwrap();
        assert_eq!((shown.size, shown.marks[0].rect), ((640, 360), rect.relative(640.0, 360.0)));
        let picture = image::load_from_memory(&shown.jpeg).unwrap().to_luma8();
        let spread = |left: u32| {
            let row = (left..left + 100).map(|x| picture.get_pixel(x, 180).0[0]);
            row.clone().max().unwrap() - row.min().unwrap()
        };
        assert!(spread(330) < 60 && spread(60) > 180, "{} {}", spread(330), spread(60));
        // Masks are black whatever lies there, and where they may lie wrong there is no picture.
        let left = Polygon::new(vec![[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]);
        let wanted = tap.watch();
        tap.serve(&striped(), std::slice::from_ref(&left), false, &EMPTY);
        let picture = image::load_from_memory(&wanted.try_recv().unwrap().unwrap().jpeg).unwrap().to_luma8();
        assert!((0..300).all(|x| picture.get_pixel(x, 180).0[0] < 24));
        let wanted = tap.watch();
        tap.serve(&striped(), std::slice::from_ref(&left), true, &EMPTY);
        assert!(wanted.try_recv().unwrap().unwrap_err().contains("masks lie wrong"));
    }
}
