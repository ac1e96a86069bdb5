//! Looks at parts of the picture, and glances at plates that were looked at before.

use super::*;
use crate::vision::search::{Grid, Part};

/// How many looks there were at the whole picture and at parts of it.
#[derive(Debug, Default)]
struct Looks(Mutex<(u32, u32)>);

/// Finds what the script says in the parts that it is asked for, as a model does: whole plates alone.
struct InParts(Arc<Actor>, Arc<Looks>);

impl FindPlates for InParts {
    fn find(&self, frame: &Seen<'_>, area: Area) -> Result<Vec<Detection>, Error> {
        self.1.0.lock().unwrap().0 += 1;
        self.0.find(frame, area)
    }

    fn grid(&self, area: Area) -> Option<Grid> {
        Grid::new(area, [640, 384], 64)
    }

    fn find_parts(&self, frame: &Seen<'_>, grid: &Grid, parts: &[Part]) -> Result<Vec<Detection>, Error> {
        self.1.0.lock().unwrap().1 += 1;
        let places: Vec<Area> = parts.iter().filter_map(|part| grid.place(part, frame)).collect();
        let mut found = self.0.find(frame, grid.area())?;
        let shows = |d: &Detection, place: &Area| d.rect.is_within(&place.rect()) && !grid.is_cut(&d.rect, *place);
        found.retain(|d| places.iter().any(|place| shows(d, place)));
        Ok(found)
    }
}

/// A plate every four seconds that goes down on the left, from 1 to 3 s of them.
fn passing(ms: u64) -> Option<Rect> {
    let (pass, along) = (ms / 4000, ms % 4000);
    let y = (along.checked_sub(1000)? as f32) * 0.075;
    (pass < 5 && y < 150.0).then(|| Rect::new(24.0, y + 5.0, 84.0, y + 20.0))
}

/// One that is parked on the right until it is gone in the middle of the third pass.
const GONE: u64 = 10_400;
fn parked(ms: u64) -> Option<Rect> {
    (ms < GONE).then(|| Rect::new(240.0, 80.0, 310.0, 97.0))
}

fn picture(ms: u64) -> Arc<Vec<u8>> {
    let mut pixels = vec![128_u8; 320 * 180];
    for rect in passing(ms).into_iter().chain(parked(ms)) {
        for (at, pixel) in pixels.iter_mut().enumerate() {
            let (x, y) = ((at % 320) as f32, (at / 320) as f32);
            if x >= rect.x1 && x < rect.x2 && y >= rect.y1 && y < rect.y2 {
                *pixel = 230;
            }
        }
    }
    Arc::new(pixels)
}

#[test]
fn parts_of_the_picture_show_every_pass_and_what_is_parked_is_held_and_missed_in_time() {
    let texts = ["ABC1230", "DEF4561", "GHI7892", "JKL1233", "MNP4564"];
    let script = move |n: u64| {
        let ms = n * 40;
        let pass = passing(ms).map(|rect| (rect, texts[usize::try_from(ms / 4000).unwrap()]));
        let stands = parked(ms).map(|rect| (rect, "PRK9999"));
        let shown = |(rect, text)| Shown { rect, score: 0.8, read: Some(read(text, 0.97)) };
        pass.into_iter().chain(stands).map(shown).collect()
    };
    let actor = Arc::new(Actor { script: Box::new(script), read: Arc::default() });
    let looks = Arc::new(Looks::default());
    let finder = Box::new(InParts(Arc::clone(&actor), Arc::clone(&looks)));
    let settings = Settings { motion_gate: true, ..Settings::default() };
    let mut analyser = Analyser::with(finder, Box::new(actor), settings, CameraId::new("gate").unwrap(), 7);
    let mut events = Vec::new();
    for n in 0..500 {
        events.extend(analyser.step(&frame(n, n * 40, &picture(n * 40))).unwrap());
    }
    events.extend(analyser.finish(TimeMs(START + 20_000)));
    let told = |stage: Stage| -> Vec<(&str, u64)> {
        let those = events.iter().filter(|event| event.stage == stage);
        those.map(|e| (e.sighting.read.as_ref().unwrap().text.as_str(), e.sighting.end.0 - START)).collect()
    };
    let mut new: Vec<&str> = told(Stage::New).into_iter().map(|(text, _)| text).collect();
    new.sort_unstable();
    assert_eq!(new, [texts.as_slice(), &["PRK9999"]].concat(), "each once");
    let ends = told(Stage::End);
    let (_, gone) = ends.iter().find(|(text, _)| *text == "PRK9999").unwrap();
    assert!(
        (GONE - 1_100..GONE + 100).contains(gone),
        "what was seen last is what the last look at all of it showed: {gone}"
    );
    assert_eq!(ends.len(), 6, "{ends:?}");
    let (whole, parts) = *looks.0.lock().unwrap();
    assert!(parts > 60 && whole < parts, "{whole} looks at all of it, {parts} at parts");
}

/// Reads the same of every plate, never surely; counts how it was asked.
struct Doubter(Mutex<Vec<bool>>);

impl ReadPlates for Doubter {
    fn read(&self, _: &Seen<'_>, plates: &[Detection]) -> Result<Vec<Option<PlateRead>>, Error> {
        self.0.lock().unwrap().extend(plates.iter().map(|_| false));
        Ok(plates.iter().map(|_| Some(read("ABC1234", 0.8))).collect())
    }

    fn glance(&self, _: &Seen<'_>, plates: &[Detection]) -> Result<Vec<ReadAndCut>, Error> {
        self.0.lock().unwrap().extend(plates.iter().map(|_| true));
        Ok(plates.iter().map(|_| (Some(read("ABC1234", 0.8)), None)).collect())
    }
}

/// How a plate was read that stands for 15 frames and is half as large again from the sixth on.
fn asked(settings: Settings) -> Vec<bool> {
    let script = |n: u64| vec![shown(80.0, 60.0, if n < 5 { 60.0 } else { 90.0 }, None)];
    let finder = Arc::new(Actor { script: Box::new(script), read: Arc::default() });
    let reader = Arc::new(Doubter(Mutex::default()));
    let camera = CameraId::new("gate").unwrap();
    let mut analyser = Analyser::with(Box::new(finder), Box::new(Arc::clone(&reader)), settings, camera, 7);
    let pixels = Arc::new(vec![128; 320 * 180]);
    (0..15).for_each(|n| drop(analyser.step(&frame(n, n * 40, &pixels)).unwrap()));
    reader.0.lock().unwrap().clone()
}

#[test]
fn a_doubtful_plate_is_read_in_full_when_it_is_clearer_than_before_and_at_a_glance_otherwise() {
    let glances = asked(Settings::default());
    assert!(glances.len() >= 6, "{glances:?}");
    let full: Vec<usize> = (0..).zip(&glances).filter(|(_, glance)| !**glance).map(|(n, _)| n).collect();
    assert_eq!(full, [0, 5], "first, and when it has grown: {glances:?}");
    let all = asked(Settings { glances: false, ..Settings::default() });
    assert!(all.len() >= 6 && all.iter().all(|glance| !glance), "{all:?}");
}
