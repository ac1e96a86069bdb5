//! What signing and verifying an alert costs, and a refusal: the box's price of an alert, and the centre's.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use watchpost::centre::keys::{Keys, SigningKey};
use watchpost::centre::wire;
use watchpost::domain::Alert;

const TOPIC: &str = "watchpost/v1/north/box-1/alert/serious";
const GOLDEN: &str = include_str!("../tests/fixtures/golden/alert.hex");

fn golden() -> Vec<u8> {
    let digits: Vec<u8> = GOLDEN.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).filter_map(pair).collect()
}

fn benches(c: &mut Criterion) {
    let Ok(key) = SigningKey::from_seed(&[0x42; 32]) else { return };
    let keys = Keys::from(key.public().clone());
    let bytes = golden();
    let Ok((alert, _)) = wire::verify::<Alert>(&bytes, TOPIC, &keys) else { return };
    c.bench_function("sign an alert", |b| b.iter(|| wire::sign(black_box(&alert), TOPIC, &key)));
    c.bench_function("verify an alert", |b| b.iter(|| wire::verify::<Alert>(black_box(&bytes), TOPIC, &keys)));
    let none = Keys::default();
    c.bench_function("refuse an unknown key", |b| b.iter(|| wire::verify::<Alert>(black_box(&bytes), TOPIC, &none)));
}

criterion_group!(group, benches);
criterion_main!(group);
