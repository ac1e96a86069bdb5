//! What no analysis of every frame can do without, and nothing else: decoding, the tensor, one run of the detector.
//!
//! As many cameras at a time as in the measurement that it is held against, on threads of their own, so that both meet the
//! same machine. Runs of the reader and looks for vehicles are timed in the same loop, one a frame, and counted by how
//! many the measurement beside asked for.

use std::sync::Arc;

use super::Bench;
use super::cost::{cpu, ms_since};
use super::player::Player;
use super::stages::Tally;
use crate::vision::model::{Net, Values, Vehicles};
use crate::vision::preprocess::{Scratch, tensor};

/// CPU milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Floor {
    /// A frame each.
    pub decode: f64,
    pub tensor: f64,
    pub detector: f64,
    /// A look for vehicles with its tensor; 0 without a model of their own.
    pub look: f64,
    /// One run of the reader, and one of the model that corrects corners for it.
    pub read: f64,
}

impl Floor {
    /// What a frame takes with so many looks and reads.
    pub(super) fn of(&self, looks: f64, reads: f64) -> f64 {
        self.decode + self.tensor + self.detector + self.look * looks + self.read * reads
    }
}

#[derive(Default)]
struct Parts {
    tensor: Tally,
    detector: Tally,
    look: Tally,
    read: Tally,
}

/// Measures with so many cameras.
///
/// # Errors
/// What the clip or the models say.
pub(super) fn floor(bench: &Bench<'_>, cameras: u32) -> anyhow::Result<Floor> {
    let parts = Arc::new(Parts::default());
    let begin = cpu();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let of_camera = || {
            let parts = Arc::clone(&parts);
            scope.spawn(move || one(bench, &parts))
        };
        let threads: Vec<_> = (0..cameras).map(|_| of_camera()).collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a camera's thread panicked"))??;
        }
        Ok(())
    })?;
    let frames = (bench.frames * u64::from(cameras)) as f64;
    let all = ms_since(begin) / frames;
    let [tensor, detector, look, read] =
        [&parts.tensor, &parts.detector, &parts.look, &parts.read].map(|part| part.ms() / frames);
    Ok(Floor { decode: (all - tensor - detector - look - read).max(0.0), tensor, detector, look, read })
}

fn one(bench: &Bench<'_>, parts: &Parts) -> anyhow::Result<()> {
    let mut player = Player::open(bench.clip)?;
    let (mut scratch, mut input, mut wide) = (Scratch::default(), Values::default(), Values::default());
    let (detector, reader) = (models(bench).detector.net(), models(bench).reader.net());
    let corners = models(bench).reader.corners().map(|corners| corners.net());
    let (plate, cut) = (grey(reader), corners.map(grey).unwrap_or_default());
    for _ in 0..bench.frames {
        let frame = player.next()?;
        parts.tensor.of(|| tensor(&frame, &detector.manifest().input, &mut scratch, &mut input))?;
        parts.detector.of(|| detector.run(1, &input, |_| ()))?;
        if let Vehicles::Own(finder) = &models(bench).vehicles {
            let net = finder.net();
            parts.look.of(|| {
                tensor(&frame, &net.manifest().input, &mut scratch, &mut wide)?;
                net.run(1, &wide, |_| ())
            })?;
        }
        parts.read.of(|| {
            corners.map_or(Ok(()), |corners| corners.run(1, &cut, |_| ()))?;
            reader.run(1, &plate, |_| ())
        })?;
    }
    Ok(())
}

/// An input that shows nothing.
fn grey(net: &Net) -> Vec<f32> {
    let (width, height) = net.manifest().input_size();
    vec![0.5; width * height * net.manifest().input.channels as usize]
}

fn models<'a>(bench: &Bench<'a>) -> &'a crate::vision::Models {
    bench.models
}
