//! What no analysis of every frame can do without, and nothing else: decoding, the tensor, one run of the detector.
//!
//! Measured twice: each part by itself, over and over, with everything it needs in the caches ([`Floor::alone`]: what the ratio is
//! told by), and all of them in turns for each frame while the next one is decoded ([`Floor::together`]), as any program that does
//! the whole must: what lies between the two is the machine's, not ours. As many cameras at a time as in the measurement
//! that it is held against, on threads of their own. Runs of the reader and looks for vehicles are timed beside and
//! counted by how many the measurement asked for.

use std::sync::Arc;

use super::Bench;
use super::cost::{cpu, ms_since};
use super::player::Player;
use super::stages::Tally;
use crate::domain::Frame;
use crate::vision::model::{Net, Values, Vehicles};
use crate::vision::preprocess::{Scratch, tensor};

/// Both floors.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Floor {
    pub alone: Parts,
    pub together: Parts,
}

/// CPU milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Parts {
    /// A frame each.
    pub decode: f64,
    pub tensor: f64,
    pub detector: f64,
    /// A look for vehicles with its tensor; 0 without a model of their own.
    pub look: f64,
    /// One run of the reader, and one of the model that corrects corners for it.
    pub read: f64,
}

impl Parts {
    /// What a frame takes with so many looks and reads.
    pub(super) fn of(&self, looks: f64, reads: f64) -> f64 {
        self.decode + self.tensor + self.detector + self.look * looks + self.read * reads
    }
}

/// Runs of each part by itself.
const ALONE: u32 = 60;

/// Measures with so many cameras.
///
/// # Errors
/// What the clip or the models say.
pub(super) fn floor(bench: &Bench<'_>, cameras: u32) -> anyhow::Result<Floor> {
    let frames = (bench.frames * u64::from(cameras)) as f64;
    let begin = cpu();
    on_threads(cameras, || {
        let mut player = Player::open(bench.clip)?;
        (0..bench.frames).try_for_each(|_| player.next().map(drop))
    })?;
    let decode = ms_since(begin) / frames;
    let hot = Arc::new(Tallies::default());
    on_threads(cameras, || {
        let frame = Player::open(bench.clip)?.next()?;
        let mut work = Work::of(bench);
        work.turn(&frame, &Tallies::default())?;
        work.each(&frame, &hot)
    })?;
    let mixed = Arc::new(Tallies::default());
    let begin = cpu();
    on_threads(cameras, || {
        let (mut player, mut work) = (Player::open(bench.clip)?, Work::of(bench));
        (0..bench.frames).try_for_each(|_| work.turn(&player.next()?, &mixed))
    })?;
    let all = ms_since(begin) / frames;
    let together = mixed.parts(frames);
    let models = together.tensor + together.detector + together.look + together.read;
    Ok(Floor {
        alone: Parts { decode, ..hot.parts(f64::from(ALONE * cameras)) },
        together: Parts { decode: (all - models).max(0.0), ..together },
    })
}

/// Runs `work` on so many threads, to the end of all.
fn on_threads(count: u32, work: impl Fn() -> anyhow::Result<()> + Sync) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(&work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a camera's thread panicked"))?)
    })
}

/// What the models of all cameras took.
#[derive(Default)]
struct Tallies {
    tensor: Tally,
    detector: Tally,
    look: Tally,
    read: Tally,
}

impl Tallies {
    /// A run, of so many.
    fn parts(&self, runs: f64) -> Parts {
        let [tensor, detector, look, read] =
            [&self.tensor, &self.detector, &self.look, &self.read].map(|part| part.ms() / runs);
        Parts { decode: 0.0, tensor, detector, look, read }
    }
}

/// One camera's models and buffers.
struct Work<'a> {
    bench: &'a Bench<'a>,
    scratch: Scratch,
    input: Values,
    wide: Values,
    plate: Vec<f32>,
    /// What the model of corners is given; empty without one.
    corners: Vec<f32>,
}

impl<'a> Work<'a> {
    fn of(bench: &'a Bench<'a>) -> Self {
        let reader = &bench.models.reader;
        let corners = reader.corners().map(|corners| grey(corners.net())).unwrap_or_default();
        let (input, wide) = (Values::default(), Values::default());
        Self { bench, scratch: Scratch::default(), input, wide, plate: grey(reader.net()), corners }
    }

    /// One of each.
    fn turn(&mut self, frame: &Frame, to: &Tallies) -> anyhow::Result<()> {
        self.tensor(frame, to)?;
        self.detect(to)?;
        self.look(frame, to)?;
        self.read(to)
    }

    /// Many of each, one kind after the other.
    fn each(&mut self, frame: &Frame, to: &Tallies) -> anyhow::Result<()> {
        (0..ALONE).try_for_each(|_| self.tensor(frame, to))?;
        (0..ALONE).try_for_each(|_| self.detect(to))?;
        (0..ALONE).try_for_each(|_| self.look(frame, to))?;
        (0..ALONE).try_for_each(|_| self.read(to))
    }

    fn tensor(&mut self, frame: &Frame, to: &Tallies) -> anyhow::Result<()> {
        let wanted = &self.bench.models.detector.net().manifest().input;
        to.tensor.of(|| tensor(frame, wanted, &mut self.scratch, &mut self.input))?;
        Ok(())
    }

    fn detect(&self, to: &Tallies) -> anyhow::Result<()> {
        Ok(to.detector.of(|| self.bench.models.detector.net().run(1, &self.input, |_| ()))?)
    }

    fn look(&mut self, frame: &Frame, to: &Tallies) -> anyhow::Result<()> {
        let Vehicles::Own(finder) = &self.bench.models.vehicles else { return Ok(()) };
        let net = finder.net();
        Ok(to.look.of(|| {
            tensor(frame, &net.manifest().input, &mut self.scratch, &mut self.wide)?;
            net.run(1, &self.wide, |_| ())
        })?)
    }

    fn read(&self, to: &Tallies) -> anyhow::Result<()> {
        let reader = &self.bench.models.reader;
        Ok(to.read.of(|| {
            reader.corners().map_or(Ok(()), |corners| corners.net().run(1, &self.corners, |_| ()))?;
            reader.net().run(1, &self.plate, |_| ())
        })?)
    }
}

/// An input that shows nothing.
fn grey(net: &Net) -> Vec<f32> {
    let (width, height) = net.manifest().input_size();
    vec![0.5; width * height * net.manifest().input.channels as usize]
}
