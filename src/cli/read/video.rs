//! Videos through `watchpost read`: every frame as a line, or every finished track.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::output::{Line, Object, One};
use super::overlay::{Overlay, clock_of};
use super::sheet::Caption;
use super::{Reading, Stage, drawn_name, name_of, vehicles};
use crate::camera::film::Film;
use crate::camera::{self, Next, Source, SourceUri};
use crate::causes;
use crate::cli::draw::{self, Mark};
use crate::domain::Stage as Told;
use crate::domain::{CameraId, Frame, Pictures, Quad, Sighting, SightingEvent, TimeMs};
use crate::health::CameraCounters;
use crate::vision::view::View;
use crate::vision::{Analyser, analyser};

/// How long one call waits for a frame; a file that gives none for [`STALL`] is given up.
const WAIT: Duration = Duration::from_millis(500);

/// Longest wait for the next frame of a file.
const STALL: Duration = Duration::from_secs(20);

/// What is known of the video that is being read.
#[derive(Default)]
struct Clip {
    /// Time that its frames count from; `None` before the first.
    begin: Option<TimeMs>,
    /// Time of the newest frame.
    last: TimeMs,
    width: u32,
    height: u32,
    /// Lines told so far.
    lines: usize,
    /// Where each track's plate was in the picture that was drawn last.
    drawn: HashMap<u32, [f32; 4]>,
    /// The best pictures of each pass that is under way, for the sheet.
    pictures: HashMap<[u8; 16], Pictures>,
    /// What goes over the frames of the annotated video, when one is made.
    overlay: Option<Overlay>,
    film: Filming,
}

/// The annotated video.
#[derive(Default)]
enum Filming {
    /// It begins with the first frame, or none is wanted.
    #[default]
    NotYet,
    /// It is being written.
    On(Film),
    /// It can't be: everything else goes on, and this is told at the end.
    Failed(camera::Error),
}

impl Clip {
    fn meet(&mut self, frame: &Frame) {
        let pts = u64::try_from(frame.pts.as_millis()).unwrap_or(u64::MAX);
        self.begin.get_or_insert(TimeMs(frame.at.0.saturating_sub(pts)));
        self.last = frame.at;
        (self.width, self.height) = (frame.format.width, frame.format.height);
    }

    /// Milliseconds from the video's start to `at`.
    fn since(&self, at: TimeMs) -> u64 {
        self.begin.map_or(0, |begin| at.since(begin))
    }

    fn line(&self, path: &Path, at_ms: u64, end_ms: Option<u64>, reads: Vec<One>) -> Line {
        let (width, height) = (self.width, self.height);
        let file = path.display().to_string();
        Line { file, at_ms: Some(at_ms), end_ms, width, height, reads, vehicles: None }
    }
}

impl Reading<'_> {
    pub(super) fn video(&mut self, path: &Path) -> Result<()> {
        let id = CameraId::new("file").context("the name for files")?;
        let settings = camera::Settings::new(id.clone(), 0, SourceUri::File(path.to_path_buf()));
        let mut source = camera::open(&settings, &self.clock, Arc::new(CameraCounters::default()))?;
        if self.args.frames {
            while let Some(frame) = self.next(source.as_mut(), path)? {
                self.frame(path, &frame)?;
                self.advance(source.as_ref(), frame.pts);
            }
            return Ok(());
        }
        let mut settings = analyser::Settings { patterns: self.args.patterns(), ..analyser::Settings::default() };
        if self.args.draw.is_some() {
            // A vehicle is drawn where it is in the very frame.
            settings.vehicles_every = Duration::ZERO;
        }
        // Films are cut together: nothing is joined across a cut.
        let mut analyser = Analyser::new(&self.models, settings, id, 0).with_view(View::default());
        let mut clip = Clip::default();
        if self.args.draw.is_some() {
            let (overlay, observer) = Overlay::new();
            clip.overlay = Some(overlay);
            analyser = analyser.with_insight(observer);
        }
        let mut failed = None;
        loop {
            match self.next(source.as_mut(), path) {
                Ok(Some(frame)) => {
                    self.step(path, &mut analyser, &mut clip, &frame)?;
                    drop(analyser.take_view_news());
                    self.advance(source.as_ref(), frame.pts);
                }
                Ok(None) => break,
                // What was seen before a file breaks off is told all the same.
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let last = analyser.finish(clip.last);
        self.tell(path, &mut clip, last)?;
        if clip.lines == 0 && failed.is_none() {
            self.output.line(&clip.line(path, 0, None, Vec::new()))?;
        }
        let filmed = match clip.film {
            Filming::NotYet => Ok(()),
            Filming::On(film) => film.finish(),
            Filming::Failed(error) => Err(error),
        };
        match (failed, filmed) {
            (None, filmed) => Ok(filmed?),
            (Some(error), Ok(())) => Err(error),
            (Some(error), Err(other)) => {
                self.output.fault(&causes::line(&other.into()));
                Err(error)
            }
        }
    }

    /// Tells how far it has come.
    fn advance(&mut self, source: &dyn Source, pts: Duration) {
        let progress = &mut self.output.progress;
        if progress.wants_length() {
            progress.set_length(source.length());
        }
        progress.frame(pts);
    }

    /// Adds the frame to the annotated video.
    fn film(&mut self, path: &Path, clip: &mut Clip, frame: &Frame, events: &[SightingEvent]) {
        let (Some(overlay), Some(folder)) = (&mut clip.overlay, &self.args.draw) else { return };
        overlay.step(frame.pts, events);
        let size = (frame.format.width, frame.format.height);
        if let Filming::On(film) = &clip.film
            && !film.fits(size)
        {
            // A stream that changes its size goes on in another file.
            if let Filming::On(film) = std::mem::take(&mut clip.film)
                && let Err(error) = film.finish()
            {
                clip.film = Filming::Failed(error);
            }
        }
        if let Filming::NotYet = clip.film {
            let name = drawn_name((folder, path), ("-annotated", "mp4"), &mut self.drawn);
            clip.film = match Film::create(&folder.join(name), size) {
                Ok(film) => Filming::On(film),
                Err(error) => Filming::Failed(error),
            };
        }
        if let Filming::On(film) = &mut clip.film {
            let picture = overlay.over(frame, &mut self.places);
            if let Err(error) = film.add(picture.as_raw(), picture.width(), frame.pts) {
                clip.film = Filming::Failed(error);
            }
        }
    }

    fn step(&mut self, path: &Path, analyser: &mut Analyser, clip: &mut Clip, frame: &Frame) -> Result<()> {
        clip.meet(frame);
        let events = self
            .timing
            .of(Stage::Analyse, || analyser.step(frame))
            .with_context(|| format!("{} at {:.1} s", path.display(), frame.pts.as_secs_f64()))?;
        self.timing.pictures += 1;
        for event in events.iter().filter(|e| e.stage != Told::End) {
            // What is told again without a better view is no reason for another picture.
            if clip.drawn.insert(event.sighting.track, event.sighting.rect) != Some(event.sighting.rect) {
                self.draw_sighting(path, frame, &event.sighting)?;
            }
        }
        self.film(path, clip, frame, &events);
        self.tell(path, clip, events)
    }

    /// A line for each track that ended.
    fn tell(&mut self, path: &Path, clip: &mut Clip, events: Vec<SightingEvent>) -> Result<()> {
        for mut event in events {
            if self.sheet.is_some()
                && let Some(pictures) = event.pictures.take()
            {
                clip.pictures.insert(event.sighting.id.0, pictures);
            }
            if event.stage != Told::End {
                continue;
            }
            let seen = event.sighting;
            self.show_pass(path, clip, &seen)?;
            if seen.read.is_some() {
                self.output.progress.plate();
            }
            let vehicle = seen.vehicle.map(|v| Object::new(v.class, v.confidence, v.rect).with_colour(v.colour));
            let reads = seen.read.as_ref().map(|read| One::new(read, seen.rect, None, vehicle)).into_iter().collect();
            let line = clip.line(path, clip.since(seen.begin), Some(clip.since(seen.end)), reads);
            clip.lines += 1;
            self.output.line(&line)?;
        }
        Ok(())
    }

    /// A tile of the sheet for a pass that is over.
    fn show_pass(&mut self, path: &Path, clip: &mut Clip, seen: &Sighting) -> Result<()> {
        let Some(sheet) = &mut self.sheet else { return Ok(()) };
        let pictures = clip.pictures.remove(&seen.id.0);
        let [begin, end] = [seen.begin, seen.end].map(|at| clock_of(Duration::from_millis(clip.since(at))));
        let caption = Caption {
            text: seen.read.as_ref().map(|read| read.text.to_string()),
            confidence: seen.read.as_ref().map_or(0.0, |read| read.confidence),
            below: format!("{begin} - {end}  {}", name_of(path)),
        };
        sheet.add(pictures.as_ref(), &caption)
    }

    /// The frame in which a sighting was told, marked; a later one of the same track replaces it.
    fn draw_sighting(&mut self, path: &Path, frame: &Frame, seen: &Sighting) -> Result<()> {
        let (Some(folder), Some(read)) = (&self.args.draw, &seen.read) else { return Ok(()) };
        let (width, height) = frame.size();
        let outline = Quad::from_rect(&seen.rect_in(width, height));
        let mark = Mark { outline, text: Some(read.text.to_string()), confidence: read.confidence, way: Vec::new() };
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("{stem}-track{:03}.jpg", seen.track);
        let thing = seen.vehicle.map(|v| vehicles::carrier(&v, (width, height)));
        draw::save(&draw::annotated(frame, &mut self.places, &[mark], thing.as_slice()), &folder.join(name))
    }

    /// The next frame; `None` at the end.
    fn next(&mut self, source: &mut dyn Source, path: &Path) -> Result<Option<Frame>> {
        let began = self.clock.monotonic();
        loop {
            match self.timing.of(Stage::Load, || source.next(WAIT))? {
                Next::Frame(frame) => return Ok(Some(frame)),
                Next::End => return Ok(None),
                Next::Idle if source.can_stall() && self.clock.monotonic().saturating_sub(began) > STALL => {
                    anyhow::bail!("{}: no frame for {} s", path.display(), STALL.as_secs())
                }
                Next::Idle => {}
            }
        }
    }

    fn frame(&mut self, path: &Path, frame: &Frame) -> Result<()> {
        let shown = self.shown(frame).with_context(|| path.display().to_string())?;
        self.timing.pictures += 1;
        self.output.line(&self.line(path, frame, &shown, true))?;
        if shown.plates.is_empty() && shown.vehicles.is_empty() {
            return Ok(());
        }
        self.draw(path, &format!("-{:06}", frame.index), frame, &shown)
    }
}
