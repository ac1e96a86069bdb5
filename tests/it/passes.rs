//! Drawn passes (those of `benches/fuse.rs`) through the shipped reader: the fused read against the best frame.

#[allow(dead_code, reason = "the bench tells more of them than this test")]
#[path = "../../benches/passes/mod.rs"]
mod drawn;

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
