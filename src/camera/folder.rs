//! A folder of pictures as a camera: each JPEG and PNG once, by name.
//!
//! Every picture counts: none is dropped unless the folder is played in real time. One that cannot be read is named in
//! the log, counted and skipped, and the end of the folder says so. The list is taken when the folder is opened: files
//! that come later are not seen, subfolders and files of other names are left out. Decodes on the caller's thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Error, Next, Settings, Source, still};
use crate::clock::Clock;
use crate::domain::TimeMs;
use crate::health::CameraCounters;

/// Pictures a second, in thousandths, when the address does not say: slow enough that each is a scene of its own.
const FPS_MILLI: u32 = 1_000;

/// Most pictures of one folder: their names are kept in memory.
const MOST: usize = 100_000;

pub(super) struct FolderSource {
    path: PathBuf,
    pictures: Vec<PathBuf>,
    /// Time from one picture to the next.
    every: Duration,
    /// Time from one handed out to the next, at least.
    wanted_every: Duration,
    /// The next one wanted is not before this.
    due: Duration,
    realtime: bool,
    clock: Clock,
    counters: Arc<CameraCounters>,
    opened: TimeMs,
    began: Duration,
    next: usize,
    faults: Faults,
}

/// Pictures that could not be read.
#[derive(Default)]
struct Faults {
    skipped: u64,
    first: Option<String>,
}

impl FolderSource {
    pub(super) fn open(
        path: &Path,
        settings: &Settings,
        clock: &Clock,
        counters: Arc<CameraCounters>,
    ) -> Result<Self, Error> {
        let pictures = list(path)?;
        let fps = settings.uri.wish().fps_milli.unwrap_or(FPS_MILLI).max(1);
        let wanted = settings
            .fps
            .filter(|fps| *fps > 0.0)
            .map_or(Duration::ZERO, |fps| Duration::try_from_secs_f32(1.0 / fps).unwrap_or(Duration::MAX));
        Ok(Self {
            path: path.to_owned(),
            pictures,
            every: Duration::from_secs(1_000) / fps,
            wanted_every: wanted,
            due: Duration::ZERO,
            realtime: settings.realtime,
            clock: clock.clone(),
            counters,
            opened: clock.utc(),
            began: clock.monotonic(),
            next: 0,
            faults: Faults::default(),
        })
    }

    /// Place in the stream of picture `index`.
    fn pts(&self, index: usize) -> Duration {
        u32::try_from(index).ok().and_then(|n| self.every.checked_mul(n)).unwrap_or(Duration::MAX)
    }

    /// Passes over those that are not wanted, and in real time over those whose turn has passed; false: too early.
    fn advance(&mut self, wait: Duration) -> bool {
        while self.next < self.pictures.len() && self.pts(self.next) < self.due {
            self.next += 1;
            self.counters.received.inc();
            self.counters.thinned.inc();
        }
        if !self.realtime || self.next >= self.pictures.len() {
            return true;
        }
        let early = self.pts(self.next).saturating_sub(self.clock.monotonic().saturating_sub(self.began));
        std::thread::sleep(early.min(wait));
        let elapsed = self.clock.monotonic().saturating_sub(self.began);
        if elapsed < self.pts(self.next) {
            return false;
        }
        while self.next + 1 < self.pictures.len() && self.pts(self.next + 1) <= elapsed {
            self.next += 1;
            self.counters.received.inc();
            self.counters.dropped.inc();
        }
        true
    }

    fn skip(&mut self, error: &Error) {
        tracing::warn!(%error, "picture skipped");
        self.counters.unreadable.inc();
        self.faults.skipped += 1;
        self.faults.first.get_or_insert_with(|| error.to_string());
    }

    fn end(&mut self) -> Result<Next, Error> {
        match self.faults.first.take() {
            None => Ok(Next::End),
            Some(first) => Err(Error::Skipped {
                path: self.path.clone(),
                skipped: self.faults.skipped,
                of: self.pictures.len() as u64,
                first,
            }),
        }
    }
}

impl Source for FolderSource {
    /// One picture a call at most is read: after one that is skipped the caller looks for a stop.
    fn next(&mut self, wait: Duration) -> Result<Next, Error> {
        if self.next < self.pictures.len() && !self.advance(wait) {
            return Ok(Next::Idle);
        }
        let index = self.next;
        let Some(picture) = self.pictures.get(index) else { return self.end() };
        let loaded = still::load(picture);
        self.next += 1;
        let mut frame = match loaded {
            Ok(frame) => frame,
            Err(error) => {
                self.skip(&error);
                return Ok(Next::Idle);
            }
        };
        let pts = self.pts(index);
        self.due = pts.saturating_add(self.wanted_every);
        let since = u64::try_from(pts.as_millis()).unwrap_or(u64::MAX);
        let now = self.clock.utc();
        frame.at = if self.realtime { now } else { TimeMs(self.opened.0.saturating_add(since)) };
        frame.pts = pts;
        frame.index = index as u64;
        self.counters.received.inc();
        self.counters.last_frame_ms.store(now.0, Ordering::Relaxed);
        Ok(Next::Frame(frame))
    }

    fn can_stall(&self) -> bool {
        false
    }
}

/// The pictures of a folder, sorted by name.
fn list(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |cause| Error::Unreadable { path: path.to_owned(), cause };
    let wrong = |why: String| Error::Folder { path: path.to_owned(), why };
    if !path.metadata().map_err(unreadable)?.is_dir() {
        return Err(wrong("is no folder; a video file is named by its path alone".to_owned()));
    }
    let mut pictures = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        // Regular files, or links to them: a pipe of that name would hold its reader for ever.
        if is_named_like_a_picture(&path) && path.metadata().is_ok_and(|found| found.is_file()) {
            pictures.push(path);
        }
        if pictures.len() > MOST {
            return Err(wrong(format!("has more than {MOST} pictures: split it")));
        }
    }
    if pictures.is_empty() {
        return Err(wrong("has no pictures in it (.jpg, .jpeg or .png)".to_owned()));
    }
    pictures.sort();
    Ok(pictures)
}

fn is_named_like_a_picture(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|n| n.as_encoded_bytes().starts_with(b"."));
    let known = |e: &std::ffi::OsStr| ["jpg", "jpeg", "png"].iter().any(|k| e.eq_ignore_ascii_case(k));
    !hidden && path.extension().is_some_and(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimClock;
    use crate::domain::CameraId;

    fn picture(folder: &Path, name: &str, grey: u8) {
        image::RgbImage::from_pixel(32, 16, image::Rgb([grey; 3])).save(folder.join(name)).unwrap();
    }

    fn settings(folder: &Path, query: &str) -> Settings {
        let uri = format!("folder://{}{query}", folder.display()).parse().unwrap();
        Settings::new(CameraId::new("folder").unwrap(), 1, uri)
    }

    fn open(settings: &Settings) -> (Box<dyn Source>, Arc<CameraCounters>, Arc<SimClock>) {
        let clock = SimClock::at(TimeMs(10_000));
        let counters = Arc::new(CameraCounters::default());
        let at = Clock::of(Arc::clone(&clock) as Arc<_>);
        (super::super::open(settings, &at, Arc::clone(&counters)).unwrap(), counters, clock)
    }

    /// Luma and milliseconds of every frame, and how the folder ended.
    fn play(source: &mut dyn Source) -> (Vec<(u8, u64)>, Result<(), Error>) {
        let mut seen = Vec::new();
        loop {
            match source.next(Duration::ZERO) {
                Ok(Next::Frame(frame)) => seen.push((frame.luma().row(0).unwrap()[0], frame.at.0)),
                Ok(Next::End) => return (seen, Ok(())),
                Ok(Next::Idle) => {}
                Err(error) => return (seen, Err(error)),
            }
        }
    }

    #[test]
    fn pictures_come_once_each_by_name_at_the_rate_that_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        for (name, grey) in [("b.PNG", 20), ("a.png", 10), ("c.png", 30), (".hidden.png", 99)] {
            picture(dir.path(), name, grey);
        }
        std::fs::write(dir.path().join("notes.txt"), "none").unwrap();
        std::fs::create_dir(dir.path().join("more.png")).unwrap();
        let (mut source, counters, _) = open(&settings(dir.path(), "?fps=4"));
        let (seen, how) = play(source.as_mut());
        how.unwrap();
        assert_eq!(seen, [(10, 10_000), (20, 10_250), (30, 10_500)]);
        assert_eq!((counters.received.get(), counters.dropped.get()), (3, 0));

        let path = SourceUriOf(dir.path()).settings();
        let (mut source, _, _) = open(&path);
        assert_eq!(play(source.as_mut()).0.len(), 3, "a path that is a folder is one, at one picture a second");

        let mut thinned = settings(dir.path(), "?fps=4");
        thinned.fps = Some(2.0);
        let (mut source, counters, _) = open(&thinned);
        assert_eq!(play(source.as_mut()).0, [(10, 10_000), (30, 10_500)]);
        assert_eq!((counters.received.get(), counters.thinned.get(), counters.dropped.get()), (3, 1, 0));
    }

    #[test]
    fn a_folder_of_broken_pictures_comes_back_after_each_of_them() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..3 {
            std::fs::write(dir.path().join(format!("{n}.jpg")), "no picture").unwrap();
        }
        let (mut source, counters, _) = open(&settings(dir.path(), ""));
        for skipped in 1..=3 {
            assert!(matches!(source.next(Duration::ZERO), Ok(Next::Idle)));
            assert_eq!(counters.unreadable.get(), skipped);
        }
        assert!(source.next(Duration::ZERO).unwrap_err().to_string().contains("3 of its 3 pictures"));
    }

    #[test]
    fn a_pipe_that_is_named_like_a_picture_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        picture(dir.path(), "a.png", 10);
        let made = std::process::Command::new("mkfifo").arg(dir.path().join("b.jpg")).status().unwrap();
        assert!(made.success());
        std::os::unix::fs::symlink(dir.path().join("a.png"), dir.path().join("c.png")).unwrap();
        let (mut source, _, _) = open(&settings(dir.path(), ""));
        let (seen, how) = play(source.as_mut());
        how.unwrap();
        assert_eq!(seen, [(10, 10_000), (10, 11_000)], "the picture and the link to it");
    }

    struct SourceUriOf<'a>(&'a Path);

    impl SourceUriOf<'_> {
        fn settings(&self) -> Settings {
            Settings::new(CameraId::new("folder").unwrap(), 1, self.0.to_str().unwrap().parse().unwrap())
        }
    }

    #[test]
    fn a_broken_picture_is_named_counted_and_skipped_and_the_end_tells() {
        let dir = tempfile::tempdir().unwrap();
        picture(dir.path(), "a.png", 10);
        picture(dir.path(), "c.png", 30);
        std::fs::write(dir.path().join("b.jpg"), "no picture").unwrap();
        picture(dir.path(), "d.png", 40);
        let large = dir.path().join("large.png");
        image::RgbImage::new(still::MAX_SIDE + 1, 1).save(&large).unwrap();
        let (mut source, counters, _) = open(&settings(dir.path(), ""));
        let (seen, how) = play(source.as_mut());
        assert_eq!(seen, [(10, 10_000), (30, 12_000), (40, 13_000)], "the others keep their places");
        let error = how.unwrap_err().to_string();
        assert!(error.contains("2 of its 5 pictures") && error.contains("b.jpg: is damaged"), "{error}");
        assert_eq!((counters.received.get(), counters.unreadable.get()), (3, 2));
        assert!(matches!(source.next(Duration::ZERO), Ok(Next::End)), "told once");
    }

    #[test]
    fn a_folder_without_pictures_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |uri: &Settings| {
            super::super::open(uri, &Clock::system(), Arc::default()).map(|_| ()).unwrap_err().to_string()
        };
        let error = refused(&settings(dir.path(), ""));
        assert!(error.contains(dir.path().to_str().unwrap()) && error.contains("no pictures in it"), "{error}");
        let error = refused(&settings(&dir.path().join("none"), ""));
        assert!(error.contains("none: cannot be read"), "{error}");
        let file = dir.path().join("clip.mp4");
        std::fs::write(&file, "x").unwrap();
        let error = refused(&settings(&file, ""));
        assert!(error.contains("clip.mp4: is no folder"), "{error}");
    }

    #[test]
    fn in_real_time_the_newest_due_picture_comes_and_the_others_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..5_u8 {
            picture(dir.path(), &format!("{n}.png"), 10 * n);
        }
        let mut settings = settings(dir.path(), "?fps=10");
        settings.realtime = true;
        let (mut source, counters, clock) = open(&settings);
        assert!(matches!(source.next(Duration::ZERO), Ok(Next::Frame(f)) if f.index == 0));
        assert!(matches!(source.next(Duration::ZERO), Ok(Next::Idle)));
        clock.advance(Duration::from_millis(320));
        assert!(matches!(source.next(Duration::ZERO), Ok(Next::Frame(f)) if f.index == 3 && f.at == TimeMs(10_320)));
        assert_eq!((counters.received.get(), counters.dropped.get()), (4, 2));
        clock.advance(Duration::from_mins(1));
        assert!(matches!(source.next(Duration::ZERO), Ok(Next::Frame(f)) if f.index == 4));
        assert!(matches!(source.next(Duration::ZERO), Ok(Next::End)));
    }
}
