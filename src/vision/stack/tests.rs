//! Stacks of drawn plates: moved, enlarged and noisy ones come together, others stay apart.

use super::*;

/// Strokes at places that no shift brings back onto themselves, moved and enlarged, with noise.
fn drawn(shift: (f32, f32), scale: f32, noise: f32, seed: u32) -> Cut {
    let (width, height) = (160, 48);
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 - 0.5
    };
    let strokes =
        [(18.0, 10.0), (31.0, 4.0), (47.0, 12.0), (66.0, 5.0), (71.0, 14.0), (98.0, 9.0), (120.0, 3.0), (139.0, 11.0)];
    let mut values = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let (u, v) = ((x as f32 - 80.0) / scale + 80.0 - shift.0, (y as f32 - 24.0) / scale + 24.0 - shift.1);
            let ink = strokes.iter().any(|(at, tall)| (u - at).abs() < 3.0 && (v - 24.0).abs() < *tall);
            let light: f32 = if ink { 0.2 } else { 0.7 };
            values.push(light + noise * random());
        }
    }
    Cut { width, height, values }
}

fn error(a: &Cut, b: &Cut) -> f32 {
    let inner = |cut: &Cut| -> Vec<f32> {
        cut.values.chunks_exact(cut.width).skip(6).take(36).flat_map(|row| row[10..150].to_vec()).collect()
    };
    let (a, b) = (inner(a), inner(b));
    (a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / a.len() as f32).sqrt()
}

#[test]
fn pictures_that_are_moved_and_enlarged_are_laid_over_each_other() {
    let clean = drawn((0.0, 0.0), 1.0, 0.0, 1);
    let mut stacks = Stacks::default();
    stacks.add(&drawn((0.0, 0.0), 1.0, 0.8, 2));
    let alone = error(&stacks.0[0].mean, &clean);
    for n in 3..40_u16 {
        let by = f32::from(n % 7) - 3.0;
        let moved = drawn((by * 0.9, by * -0.5), 1.0 + by * 0.01, 0.8, u32::from(n));
        stacks.add(&moved);
    }
    assert_eq!(stacks.0.len(), 1, "one plate, one stack");
    let (mean, count) = stacks.due().unwrap();
    let together = error(mean, &clean);
    assert_eq!(count, 38);
    assert!(together < alone / 2.5, "{alone} alone, {together} together");
}

#[test]
fn what_is_something_else_begins_a_stack_of_its_own_and_is_not_read_until_there_is_more_of_it() {
    let mut stacks = Stacks::default();
    let plate = |n: u32| drawn((0.3, 0.0), 1.0, 0.1, n);
    let sign = Cut { values: plate(1).values.iter().rev().map(|v| 1.0 - v).collect(), ..plate(1) };
    stacks.add(&plate(1));
    assert!(stacks.due().is_none(), "one picture is no stack");
    stacks.add(&sign);
    (2..6).for_each(|n| stacks.add(&plate(n)));
    assert_eq!(stacks.0.iter().map(|s| s.count).collect::<Vec<_>>(), [5, 1]);
    assert_eq!(stacks.due().unwrap().1, 5);
    assert!(stacks.due().is_none(), "it has not grown");
}

#[test]
fn what_has_no_contrast_or_no_size_is_left_out() {
    let mut stacks = Stacks::default();
    stacks.add(&Cut { width: 160, height: 48, values: vec![0.5; 160 * 48] });
    stacks.add(&Cut { width: 4, height: 4, values: vec![0.5; 16] });
    stacks.add(&Cut { width: 160, height: 48, values: vec![f32::NAN; 160 * 48] });
    stacks.add(&Cut { width: 160, height: 48, values: Vec::new() });
    assert!(stacks.0.is_empty());
    stacks.add(&drawn((0.0, 0.0), 1.0, 0.1, 1));
    stacks.add(&Cut { width: 80, height: 24, values: drawn((0.0, 0.0), 1.0, 0.1, 1).values[..80 * 24].to_vec() });
    assert_eq!(stacks.0.len(), 2, "of another size");
}

#[test]
fn a_warp_less_itself_is_none() {
    let warp = Warp([1.5, 0.02, -0.01, -0.7, 0.03, -0.04]);
    let none = warp.less(&warp).unwrap();
    assert!(none.0.iter().all(|v| v.abs() < 1e-5), "{none:?}");
}

proptest::proptest! {
    #[test]
    fn nothing_makes_a_stack_panic(values in proptest::collection::vec(-1e30_f32..1e30, 16 * 16), times in 1..5_usize) {
        let mut stacks = Stacks::default();
        let cut = Cut { width: 16, height: 16, values };
        for n in 0..times {
            let mut cut = cut.clone();
            cut.values.rotate_left(n);
            stacks.add(&cut);
        }
        proptest::prop_assert!(stacks.0.len() <= MOST);
    }
}
