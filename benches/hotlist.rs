//! What a match costs on a list of a million entries: exact, confusable, near; and how much memory the list takes.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use watchpost::domain::{Candidate, Lattice, ListId, MatchPolicy, PlateRead, PlateText, Position, Severity, TimeMs};
use watchpost::hotlist::{List, ListSettings, Matcher};

const ENTRIES: u32 = 1_000_000;

/// Plate number `n`: three letters and four digits in a scattered order.
fn plate(n: u32) -> String {
    let mut left = n.wrapping_mul(2_654_435_761) % 175_760_000;
    let digits = left % 10_000;
    left /= 10_000;
    let letter = |k: u32| char::from(b'A' + u8::try_from(k % 26).unwrap_or(0));
    format!("{}{}{}{digits:04}", letter(left), letter(left / 26), letter(left / 676))
}

fn read(text: &str) -> PlateRead {
    let positions = text.chars().map(|c| Position { options: vec![(c, 0.95), ('0', 0.02), ('8', 0.01)] }).collect();
    let text = PlateText::from_raw(text).unwrap_or_else(|| unreachable!("plates of this bench are plates"));
    PlateRead {
        candidates: vec![Candidate { text: text.clone(), confidence: 0.9 }],
        text,
        confidence: 0.9,
        char_confidences: vec![0.95; 7],
        lattice: Lattice { positions },
        region: None,
        regions: Vec::new(),
        frames: 5,
    }
}

fn matching(c: &mut Criterion) {
    let mut csv = "PlateNumber,PlateState,Category,EffectiveDate,ExpiryDate\n".to_owned();
    for n in 0..ENTRIES {
        csv += &plate(n);
        csv += ",CA,STOLEN,20250101,20301231\n";
    }
    let now = TimeMs(1_772_366_400_000);
    for (name, policy) in
        [("exact", MatchPolicy::Exact), ("confusable", MatchPolicy::Confusable), ("near", MatchPolicy::Near)]
    {
        let id = ListId::new("bench").unwrap_or_else(|_| unreachable!("a good id"));
        let settings = ListSettings { policy, ..ListSettings::new(id, 1, Severity::Minor) };
        let Ok(list) = List::parse(Path::new("bench.csv"), csv.as_bytes(), now, &settings) else { return };
        let bytes = list.bytes();
        let matcher = Matcher::new(vec![Arc::new(list)]);
        // Half of the reads are on the list.
        let reads: Vec<PlateRead> = (0..4096).map(|n| read(&plate(n * 487 + n % 2 * ENTRIES))).collect();
        let mut next = reads.iter().cycle();
        c.bench_function(&format!("{name}, {ENTRIES} entries of {bytes} bytes"), |b| {
            b.iter(|| black_box(matcher.matches(next.next().unwrap_or_else(|| unreachable!("cycles")), now)));
        });
    }
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20); targets = matching }
criterion_main!(benches);
