//! Drawn passes (those of `benches/fuse.rs`) through the shipped reader: the fused read against the best frame.

#[allow(dead_code, reason = "the bench tells more of them than this test")]
#[path = "../../benches/passes/mod.rs"]
pub(crate) mod drawn;

use std::path::Path;

use watchpost::vision::fuse;
use watchpost::vision::model::{Manifest, Runtime};
use watchpost::vision::plate::Reader;

use self::drawn::camera::{self, Kind};
use self::drawn::judge::{Look, Reads, Score, Way};

const SEED: u64 = 5_000_000;

#[test]
fn a_seed_draws_the_same_pass_every_time_and_another_seed_another() {
    let [first, again, other] = [SEED, SEED, SEED + 1].map(|seed| camera::pass(Kind::Clear, seed).unwrap());
    let pixels = |pass: &camera::Pass| {
        let luma = pass.shots[3].frame.luma();
        (0..luma.height).flat_map(|y| luma.row(y).unwrap().to_vec()).collect::<Vec<u8>>()
    };
    assert_eq!((&first.text, first.shots.len()), (&again.text, again.shots.len()));
    assert_eq!(pixels(&first), pixels(&again));
    assert_ne!(first.text, other.text);
}

#[test]
fn fusing_hidden_and_swapped_plates_is_no_worse_than_the_best_frame() {
    let manifest = Manifest::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/reader-1")).unwrap();
    let reader = Reader::load(&Runtime::open(None).unwrap(), manifest, 1).unwrap();
    let mut passes = Vec::new();
    for (kind, seed) in
        [(Kind::Hidden, 0), (Kind::Hidden, 1), (Kind::Hidden, 2), (Kind::Swapped, 0), (Kind::Swapped, 1)]
    {
        let pass = camera::pass(kind, SEED + seed).unwrap();
        let looks = pass.shots.iter().map(|shot| {
            let read = reader.read(&shot.frame, std::slice::from_ref(&shot.plate)).unwrap().remove(0);
            Look { read, quality: fuse::readability(&shot.plate) }
        });
        passes.push(Reads { looks: looks.collect(), text: pass.text, region: pass.region.to_owned() });
    }
    let (fused, best) = (Score::of(Way::Fused, &passes), Score::of(Way::Best, &passes));
    assert!(fused.right() >= best.right() && fused.right() >= 3, "{:?} {:?}", fused.told, best.told);
}

/// Two cars on two lanes, one after the other, the first hidden by a sign for a third of its way; the whole bar is
/// `cargo bench --bench sightings`.
#[test]
fn each_drawn_pass_is_one_right_sighting_although_something_hid_its_plate() {
    use self::drawn::sightings;
    use self::drawn::street::{Clip, Pass, frames, truth};
    use watchpost::domain::Stage;
    use watchpost::vision::{Models, Settings, model};

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let models = Models::load(&model::Settings { folder, ..model::Settings::default() }).unwrap();
    let pass = |seed, from_s, lane, hidden| Pass { seed, from_s, hidden, lane, ..Pass::default() };
    let passes = vec![pass(41, 0.4, 0, 0.3), pass(43, 2.6, 1, 0.0)];
    let clip = Clip { fps: 10, seconds: 5.0, seed: 40, passes, ..Clip::default() };
    let settings = Settings { motion_gate: true, ..Settings::default() };
    let played = sightings::play(frames(&clip), &models, &settings).unwrap();
    for truth in truth(&clip) {
        let of = |t: &&sightings::Told| t.text.as_deref().is_some_and(|text| sightings::same(text, &truth.text));
        let told: Vec<_> = played.told.iter().filter(of).collect();
        let new: Vec<_> = told.iter().filter(|t| t.stage == Stage::New).collect();
        assert_eq!(new.len(), 1, "{}: {:?}", truth.text, played.told);
        assert!(told.iter().all(|t| t.id == new[0].id), "{}: {:?}", truth.text, played.told);
        let late = new[0].at_s - truth.legible_from_s.unwrap();
        assert!(late <= 0.5, "{} told {late} s after it was legible", truth.text);
    }
    let mut read: Vec<_> = played.told.iter().filter(|t| t.text.is_some()).map(|t| t.id).collect();
    read.sort_unstable();
    read.dedup();
    assert_eq!(read.len(), 2, "{:?}", played.told);
}

/// Two cameras' films cut together while a car is under way in each, at about the same place.
#[test]
fn what_passes_before_a_hard_cut_is_over_with_it_and_is_not_who_passes_behind_it() {
    use self::drawn::sightings::same;
    use self::drawn::street::{Clip, Pass, frames, truth};
    use std::time::Duration;
    use watchpost::domain::{CameraId, Stage, TimeMs};
    use watchpost::vision::view::View;
    use watchpost::vision::{Analyser, Models, Settings, model};

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let models = Models::load(&model::Settings { folder, ..model::Settings::default() }).unwrap();
    let film = |street, seed, from_s, lasts_s, plate_px, seconds| {
        let passes = vec![Pass { seed, from_s, lasts_s, plate_px, ..Pass::default() }];
        Clip { fps: 10, seconds, seed: street, passes, ..Clip::default() }
    };
    let films = [film(40, 41, 0.2, 2.4, (70.0, 110.0), 1.8), film(52, 43, -0.1, 2.4, (95.0, 120.0), 1.8)];
    let id = CameraId::new("cut").unwrap();
    let mut analyser = Analyser::new(&models, Settings::default(), id, 1).with_view(View::default());
    let (mut told, mut n) = (Vec::new(), 0_u64);
    for film in &films {
        for mut frame in frames(film) {
            (frame.pts, frame.index) = (Duration::from_millis(n * 100), n);
            frame.at = TimeMs(1_772_366_400_000 + n * 100);
            let events = analyser.step(&frame).unwrap();
            told.extend(events.into_iter().map(|event| (n, event)));
            n += 1;
        }
    }
    let cut = u64::try_from(films[0].count()).unwrap();
    let last = analyser.finish(TimeMs(0));
    told.extend(last.into_iter().map(|event| (n, event)));
    let plates = films.each_ref().map(|film| truth(film).remove(0).text);
    let of = |plate: &str| {
        let read = |event: &watchpost::domain::SightingEvent| event.sighting.read.as_ref().map(|r| r.text.to_string());
        let is = |(_, event): &&(u64, _)| read(event).is_some_and(|text| same(&text, plate));
        told.iter().filter(is).collect::<Vec<_>>()
    };
    let [first, second] = [of(&plates[0]), of(&plates[1])];
    let end = first.iter().find(|(_, event)| event.stage == Stage::End).unwrap_or_else(|| panic!("{told:?}"));
    assert_eq!(end.0, cut, "over with the cut, not seconds later");
    assert!(!second.is_empty(), "{plates:?} {told:?}");
    assert!(second.iter().all(|(at, event)| *at > cut && event.sighting.id != end.1.sighting.id), "{told:?}");
}
