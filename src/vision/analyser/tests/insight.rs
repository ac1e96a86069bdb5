//! What an observer is told.

use super::*;
use crate::domain::Polygon;
use crate::vision::analyser::insight::{Insight, Note, Refusal, Standing};

#[derive(Debug, Default)]
struct Noted {
    all: usize,
    kept: usize,
    followed: usize,
    read: usize,
    over: Vec<(u32, Standing)>,
}

#[derive(Clone, Default)]
struct Book(Arc<Mutex<Noted>>);

impl Insight for Book {
    fn note(&mut self, _: Duration, note: &Note<'_>) {
        let mut book = self.0.lock().unwrap();
        match note {
            Note::Rested => {}
            Note::Found { all, kept, .. } => {
                book.all += all.len();
                book.kept += kept.len();
            }
            Note::Followed { .. } => book.followed += 1,
            Note::Read { .. } => book.read += 1,
            Note::Over { track, standing } => book.over.push((*track, *standing)),
        }
    }
}

/// What an observer noted of 20 frames and the end of the stream.
fn noted(settings: Settings, script: impl Fn(u64) -> Vec<Shown> + Send + Sync + 'static) -> Noted {
    let actor = Arc::new(Actor { script: Box::new(script), read: Arc::default() });
    let (camera, book) = (CameraId::new("gate").unwrap(), Book::default());
    let analyser = Analyser::with(Box::new(Arc::clone(&actor)), Box::new(actor), settings, camera, 7);
    let mut analyser = analyser.with_insight(Box::new(book.clone()));
    let pixels = Arc::new(vec![128; 320 * 180]);
    for n in 0..20 {
        analyser.step(&frame(n, n * 40, &pixels)).unwrap();
    }
    analyser.finish(TimeMs(START + 800));
    std::mem::take(&mut *book.0.lock().unwrap())
}

#[test]
fn an_observer_hears_what_was_hidden_followed_and_read_and_by_which_rule_a_read_was_not_told() {
    type Said = fn(u64) -> Option<PlateRead>;
    let cases: [(Said, f32, Option<Refusal>); 5] = [
        (|_| Some(read("ABC1234", 0.99)), 100.0, None),
        (|_| Some(read("AB1", 0.99)), 100.0, Some(Refusal::TooFewCharacters)),
        (|n| (n == 0).then(|| read("ABC1234", 0.8)), 100.0, Some(Refusal::Unsure)),
        (|_| None, 100.0, Some(Refusal::NoText)),
        (|_| Some(read("ABC1234", 0.99)), 20.0, Some(Refusal::NeverRead)),
    ];
    for (what, width, want) in cases {
        let seen = noted(Settings::default(), move |n| vec![shown(50.0 + n as f32, 50.0, width, what(n))]);
        assert_eq!((seen.all, seen.kept, seen.followed, seen.over.len()), (20, 20, 20, 1));
        let (track, standing) = seen.over[0];
        assert_eq!((track, standing.hits, standing.refusal), (1, 20, want), "{standing:?}");
        assert_eq!(seen.read, standing.reads as usize);
    }
}

#[test]
fn an_observer_hears_of_plates_outside_the_region_of_interest() {
    let roi = vec![Polygon::new(vec![[0.0, 0.0], [0.2, 0.0], [0.2, 0.2], [0.0, 0.2]])];
    let settings = Settings { roi, ..Settings::default() };
    let seen = noted(settings, |_| vec![shown(200.0, 100.0, 80.0, None)]);
    assert_eq!((seen.all, seen.kept, seen.followed), (20, 0, 0));
}
