//! Fusing on made-up reads, and on a reader that makes mistakes by chance.

use proptest::prelude::*;

use super::*;

/// A read with these options by position; its text and confidence are those of the best options.
fn read(positions: &[&[(char, f32)]]) -> PlateRead {
    let best = |options: &[(char, f32)]| options.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    let text: String = positions.iter().map(|o| best(o).0).filter(|c| *c != '\0').collect();
    PlateRead {
        text: PlateText::from_raw(&text).unwrap(),
        confidence: positions.iter().map(|o| best(o).1).product(),
        char_confidences: positions.iter().map(|o| best(o)).filter(|b| b.0 != '\0').map(|b| b.1).collect(),
        candidates: Vec::new(),
        lattice: Lattice { positions: positions.iter().map(|o| Position { options: o.to_vec() }).collect() },
        region: None,
        regions: Vec::new(),
        frames: 1,
    }
}

fn sure(text: &str, p: f32) -> PlateRead {
    let options: Vec<[(char, f32); 1]> = text.chars().map(|c| [(c, p)]).collect();
    read(&options.iter().map(<[_; 1]>::as_slice).collect::<Vec<_>>())
}

fn fused(reads: &[(PlateRead, f32)]) -> PlateRead {
    let mut fusion = Fusion::new();
    for (read, weight) in reads {
        fusion.add(read, *weight);
    }
    fusion.fused().unwrap()
}

#[test]
fn two_reads_that_are_each_wrong_elsewhere_make_a_right_one() {
    let a = read(&[&[('A', 0.9)], &[('8', 0.5), ('B', 0.4)], &[('C', 0.9)], &[('1', 0.9)], &[('2', 0.9)]]);
    let b = read(&[&[('A', 0.9)], &[('B', 0.9)], &[('C', 0.9)], &[('1', 0.9)], &[('Z', 0.5), ('2', 0.45)]]);
    let both = fused(&[(a.clone(), 1.0), (b.clone(), 1.0)]);
    assert_eq!(both.text.as_str(), "ABC12");
    assert!(both.confidence > a.confidence.max(b.confidence));
    assert_eq!(both.frames, 2);
    assert_eq!(both.candidates[0].text, both.text);
    assert_eq!(both.char_confidences.len(), 5);
}

#[test]
fn a_single_read_stays_what_it_was_but_for_some_doubt() {
    let one = sure("ABC1234", 0.9);
    for weight in [1.0, 0.1] {
        let fused = fused(&[(one.clone(), weight)]);
        assert_eq!(fused.text, one.text);
        let share = fused.confidence / one.confidence;
        assert!((0.5..0.95).contains(&share), "{}", fused.confidence);
    }
    assert!(Fusion::new().fused().is_none());
}

#[test]
fn a_missing_and_an_extra_character_are_put_right_by_the_others() {
    let reads = [("ABC1234", 1.0), ("AC1234", 0.9), ("ABC1234", 0.9), ("IABC1234", 0.8), ("ABC12334", 0.8)];
    let reads: Vec<_> = reads.iter().map(|(t, w)| (sure(t, 0.9), *w)).collect();
    assert_eq!(fused(&reads).text.as_str(), "ABC1234");
    // Also when the one that begins is the one that is wrong.
    let reads = [("AC1234", 1.0), ("ABC1234", 0.9), ("ABC1234", 0.9)].map(|(t, w)| (sure(t, 0.9), w));
    assert_eq!(fused(&reads).text.as_str(), "ABC1234");
}

#[test]
fn thirty_copies_of_a_doubtful_read_are_not_certain() {
    let doubtful = read(&[&[('A', 0.9)], &[('8', 0.55), ('B', 0.45)], &[('C', 0.9)], &[('1', 0.9)]]);
    let many = fused(&vec![(doubtful, 1.0); 30]);
    assert_eq!(many.frames, 30);
    assert!(many.confidence < 0.75, "{}", many.confidence);
    assert!(many.candidates[1].confidence > 0.15);
}

#[test]
fn a_large_sharp_plate_outweighs_many_small_ones() {
    let mut reads = vec![(sure("ABC1234", 0.97), 1.0)];
    reads.extend((0..6).map(|_| {
        (
            read(&[
                &[('A', 0.6)],
                &[('8', 0.6), ('B', 0.3)],
                &[('C', 0.6)],
                &[('1', 0.6)],
                &[('2', 0.6)],
                &[('3', 0.6)],
                &[('4', 0.6)],
            ]),
            0.08,
        )
    }));
    assert_eq!(fused(&reads).text.as_str(), "ABC1234");
}

#[test]
fn odd_reads_are_taken_without_harm() {
    let mut odd = sure("ABC1", 0.9);
    odd.lattice.positions[0].options = vec![('A', f32::NAN), ('*', 3.0), ('B', f32::INFINITY), ('C', -1.0)];
    odd.lattice.positions[1].options.clear();
    odd.confidence = f32::NAN;
    let mut bare = sure("XYZ9876", 0.9);
    bare.lattice.positions.clear();
    let read = fused(&[(bare, 0.7), (odd, 0.2)]);
    assert_eq!(read.text.as_str(), "XYZ9876");
    assert!(read.confidence.is_finite());
    let mut fusion = Fusion::new();
    for weight in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        fusion.add(&sure("ABC1", 0.9), weight);
    }
    assert!(fusion.fused().is_none());
}

#[test]
fn a_post_that_passes_before_the_plate_hides_no_character_for_good() {
    let reads = ["C1234", "1234", "AB234", "ABC34", "ABC14", "ABC12", "ABC123", "BC1234"];
    let reads: Vec<_> = reads.iter().map(|t| (sure(t, 0.97), 0.5)).collect();
    assert_eq!(fused(&reads).text.as_str(), "ABC1234");
}

#[test]
fn another_plate_in_some_frames_leaves_no_trace() {
    let mut reads = vec![(sure("XYZ9876", 0.99), 1.0); 3];
    reads.extend(vec![(sure("ABC1234", 0.97), 0.4); 5]);
    let read = fused(&reads);
    assert_eq!(read.text.as_str(), "ABC1234");
    assert!(read.lattice.positions.iter().all(|p| p.options.iter().all(|o| !"XYZ987".contains(o.0) || o.1 < 0.01)));
}

/// A small generator: the test must be the same on every machine.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1_u32 << 24) as f32
    }

    fn below(&mut self, n: usize) -> usize {
        self.next();
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

const LETTERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// A picture of `text` of this quality (0..1), as a reader of that skill would tell it: characters are confused, left
/// out and made up the more the worse it is, and the reader is somewhat surer than it should be. At `trap` it mostly
/// sees another character, the same in every picture of a track.
fn noisy(rng: &mut Rng, text: &str, quality: f32, trap: (usize, char)) -> PlateRead {
    let mut positions: Vec<Vec<(char, f32)>> = Vec::new();
    for (at, c) in text.chars().enumerate() {
        if rng.next() < 0.08 * (1.0 - quality) {
            continue;
        }
        let trapped = at == trap.0;
        let right = if trapped { 0.25 + 0.5 * quality } else { 0.35 + 0.6 * quality };
        let other = if trapped { trap.1 } else { char::from(LETTERS[rng.below(36)]) };
        let p = (right + 0.3 * (rng.next() - 0.4)).clamp(0.3, 0.97);
        let (own, wrong) = if rng.next() < right { (p, 0.9 * (1.0 - p)) } else { (0.9 * (1.0 - p), p) };
        let mut options = vec![(c, own), (other, wrong)];
        options.sort_by(|a, b| b.1.total_cmp(&a.1));
        positions.push(options);
        if rng.next() < 0.06 * (1.0 - quality) {
            positions.push(vec![(char::from(LETTERS[rng.below(36)]), 0.5), ('\0', 0.4)]);
        }
    }
    if positions.is_empty() {
        positions.push(vec![('X', 0.2)]);
    }
    read(&positions.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

#[test]
fn fusing_is_right_more_often_than_the_best_single_read_and_knows_its_doubt() {
    let mut rng = Rng(7);
    let (mut by_fusing, mut by_best, mut certain, mut certain_and_wrong) = (0, 0, 0, 0);
    let tracks = 400;
    for _ in 0..tracks {
        let text: String = (0..7).map(|_| char::from(LETTERS[rng.below(36)])).collect();
        // Every second track has a character that fools the reader.
        let trap = (rng.below(14), char::from(LETTERS[rng.below(36)]));
        let reads: Vec<(PlateRead, f32)> = (0..8)
            .map(|n| {
                let quality = 0.4 + 0.07 * n as f32;
                (noisy(&mut rng, &text, quality, trap), quality)
            })
            .collect();
        let best = reads.iter().max_by(|a, b| a.0.confidence.total_cmp(&b.0.confidence)).unwrap();
        by_best += usize::from(best.0.text.as_str() == text);
        let read = fused(&reads);
        by_fusing += usize::from(read.text.as_str() == text);
        certain += usize::from(read.confidence > 0.8);
        certain_and_wrong += usize::from(read.text.as_str() != text && read.confidence > 0.8);
    }
    let told =
        format!("fused {by_fusing}, best single {by_best}, certain {certain}, of these wrong {certain_and_wrong}");
    assert!(by_fusing * 2 > 3 * by_best && by_fusing > tracks * 3 / 4, "{told}");
    assert!(certain > tracks / 8 && certain_and_wrong * 20 <= certain, "{told}");
}

proptest! {
    #[test]
    fn the_order_of_frames_does_not_matter(seed in any::<u64>(), swap in any::<u64>()) {
        let mut rng = Rng(seed);
        let mut reads: Vec<(PlateRead, f32)> = (0..10)
            .map(|n| { let q = 0.2 + 0.07 * n as f32; (noisy(&mut rng, "ABC1234", q, (2, 'G')), q) })
            .collect();
        let before = fused(&reads);
        let mut rng = Rng(swap);
        for n in (1..reads.len()).rev() {
            reads.swap(n, rng.below(n + 1));
        }
        let after = fused(&reads);
        prop_assert_eq!(&before.text, &after.text);
        prop_assert!((before.confidence - after.confidence).abs() < 1e-4);
    }

    #[test]
    fn what_is_fused_is_a_read(texts in proptest::collection::vec("[A-Z0-9]{1,16}", 1..20), p in 0.05_f32..1.0) {
        let reads: Vec<_> = texts.iter().map(|t| (sure(t, p), 0.5)).collect();
        let mut fusion = Fusion::new();
        for (read, weight) in &reads {
            fusion.add(read, *weight);
        }
        if let Some(read) = fusion.fused() {
            prop_assert!((0.0..=1.0).contains(&read.confidence));
            prop_assert_eq!(read.char_confidences.len(), read.text.as_str().len());
            prop_assert!(read.candidates.len() <= 10);
            prop_assert!(read.candidates.windows(2).all(|c| c[0].confidence >= c[1].confidence));
            let sum: f32 = read.candidates.iter().map(|c| c.confidence).sum();
            prop_assert!(sum <= 1.001);
            for position in &read.lattice.positions {
                prop_assert!(position.options.iter().map(|o| o.1).sum::<f32>() <= 1.001);
            }
        }
    }
}

#[test]
fn series_weigh_in_once_and_the_lattice_stays_as_it_was_seen() {
    // Every frame sees rather an O than a 0 where Brazil has digits.
    let doubtful = |p: f32| {
        let letter = |c| vec![(c, 0.95_f32)];
        let positions = [
            letter('A'),
            letter('B'),
            letter('C'),
            letter('1'),
            letter('2'),
            vec![('O', p), ('0', 0.95 - p)],
            letter('4'),
        ];
        let mut one = read(&positions.iter().map(Vec::as_slice).collect::<Vec<_>>());
        one.regions = vec![("br".to_owned(), 0.9), ("us".to_owned(), 0.1)];
        one
    };
    let of = |patterns: Patterns, p: f32| {
        let mut fusion = Fusion::by(patterns);
        for _ in 0..6 {
            fusion.add(&doubtful(p), 0.8);
        }
        fusion.fused().unwrap()
    };
    let seen = of(Patterns::off(), 0.6);
    assert_eq!((seen.text.as_str(), seen.region.as_deref()), ("ABC12O4", None));
    let weighed = of(Patterns::default(), 0.6);
    assert_eq!((weighed.text.as_str(), weighed.region.as_deref()), ("ABC1204", Some("br")));
    assert_eq!(weighed.lattice, seen.lattice);
    assert_eq!(weighed.lattice.positions[5].options[0].0, 'O');
    assert!((weighed.regions[0].1 - 0.9).abs() < 1e-4, "{:?}", weighed.regions);
    assert!(weighed.candidates.iter().map(|c| c.confidence).sum::<f32>() <= 1.0 + 1e-4);
    // What is seen clearly enough stays, series or not.
    assert_eq!(of(Patterns::default(), 0.9499).text.as_str(), "ABC12O4");
}

#[test]
fn one_frame_that_is_surely_wrong_about_the_region_does_not_outvote_the_others() {
    let mut fusion = Fusion::new();
    let most = [("eu", 0.7), ("br", 0.3)];
    for regions in [most, [("eu", 0.6), ("br", 0.4)], most, most, [("br", 1.0), ("eu", 0.0)]] {
        let mut one = sure("AB123CD", 0.9);
        one.regions = regions.map(|(name, p)| (name.to_owned(), p)).to_vec();
        fusion.add(&one, 1.0);
    }
    let regions = fusion.fused().unwrap().regions;
    assert_eq!(regions[0].0, "eu");
    assert!((regions[0].1 - 2.7 / 5.0).abs() < 1e-5, "{regions:?}");
}

#[test]
fn pictures_laid_over_each_other_bear_frames_out_or_take_their_place_where_they_are_surer() {
    let mut fusion = Fusion::new();
    fusion.put_stack(&sure("ABC1234", 0.97), 0.5, 4);
    let alone = fusion.fused().unwrap();
    assert_eq!(alone.text.as_str(), "ABC1234", "no frame could be read");
    assert_eq!(fusion.agreeing(&alone.text), 1);
    for _ in 0..3 {
        fusion.add(&sure("ABC1284", 0.75), 0.5);
    }
    assert_eq!(fusion.fused().unwrap().text.as_str(), "ABC1234", "frames that are less sure do not take it back");
    let unsure = fusion.fused().unwrap().confidence;
    fusion.put_stack(&sure("ABC1284", 0.9), 0.5, 8);
    let agreed = fusion.fused().unwrap();
    assert_eq!(agreed.text.as_str(), "ABC1284", "the later stack takes the earlier one's place");
    assert_eq!(fusion.agreeing(&agreed.text), 5);
    for _ in 0..6 {
        fusion.add(&sure("ABC1284", 0.98), 1.0);
    }
    let frames = fusion.fused().unwrap().confidence;
    fusion.put_stack(&sure("XYZ9876", 0.95), 0.5, 9);
    let torn = fusion.fused().unwrap();
    assert!(torn.text.as_str() == "ABC1284" && torn.confidence < frames && unsure > 0.0, "{torn:?}");
    fusion.put_stack(&sure("XYZ9876", 0.95), f32::NAN, 10);
    fusion.put_stack(&sure("XYZ9876", 0.95), 1.0, 0);
    assert_eq!(fusion.fused().unwrap(), torn, "what is no number is left out");
}
