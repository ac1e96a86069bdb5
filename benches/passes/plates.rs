//! Plates as several countries lay them out, on something like a vehicle, with wear that stays the same for the whole pass.

use super::letters::Alphabet;
use super::{Picture, Rng};

/// A drawn plate, one pixel a millimetre, with its surroundings.
#[derive(Debug, Clone)]
pub struct Plate {
    /// What it says.
    pub text: String,
    /// Whose layout it is.
    pub region: &'static str,
    /// The plate and [`AROUND`] pixels on each side of it.
    pub picture: Picture,
    /// Width and height of the plate alone.
    pub size: (f32, f32),
    /// Height of its letters.
    pub letters: f32,
}

/// Surroundings that are drawn on each side.
pub const AROUND: f32 = 70.0;

/// A layout: sizes in millimetres, patterns of letters (L), digits (D), gaps (space) and seals (*).
struct Layout {
    region: &'static str,
    size: (f32, f32),
    /// Height of the letters and the middle of their line.
    letters: (f32, f32),
    /// Left and right end of the line.
    line: (f32, f32),
    /// Width of a letter in heights, from and to.
    width: (f32, f32),
    band: bool,
    /// A line of small print above, and below.
    print: (bool, bool),
    patterns: &'static [&'static str],
}

const LAYOUTS: [Layout; 8] = [
    Layout {
        region: "eu",
        size: (520.0, 110.0),
        letters: (75.0, 55.0),
        line: (60.0, 505.0),
        width: (0.5, 0.62),
        band: true,
        print: (false, false),
        patterns: &[
            "LL*DDDLL",
            "DLD*DDDD",
            "LL DDDDD",
            "L*LL DDDD",
            "LL DD LLL",
            "LL DDDLL",
            "DDDD LLL",
            "LLL DDD",
            "LLDDDLL",
        ],
    },
    Layout {
        region: "us",
        size: (305.0, 152.0),
        letters: (68.0, 80.0),
        line: (14.0, 291.0),
        width: (0.46, 0.56),
        band: false,
        print: (true, true),
        patterns: &["DLLLDDD", "LLLDDDD", "LLL DDDD", "LLL DDD", "DDDLLL", "LLLDDD"],
    },
    Layout {
        region: "br",
        size: (400.0, 130.0),
        letters: (64.0, 80.0),
        line: (16.0, 384.0),
        width: (0.5, 0.62),
        band: false,
        print: (true, false),
        patterns: &["LLLDLDD", "LLL DDDD", "LLL DDDD"],
    },
    Layout {
        region: "gb",
        size: (520.0, 111.0),
        letters: (79.0, 55.0),
        line: (25.0, 495.0),
        width: (0.6, 0.66),
        band: false,
        print: (false, false),
        patterns: &["LLDD LLL", "LLDD LLL", "LDDD LLL"],
    },
    Layout {
        region: "in",
        size: (500.0, 120.0),
        letters: (65.0, 60.0),
        line: (15.0, 485.0),
        width: (0.46, 0.56),
        band: false,
        print: (false, false),
        patterns: &["LL DD LL DDDD", "LLDDLLDDDD"],
    },
    Layout {
        region: "tr",
        size: (520.0, 110.0),
        letters: (75.0, 55.0),
        line: (60.0, 505.0),
        width: (0.46, 0.58),
        band: true,
        print: (false, false),
        patterns: &["DD LL DDD", "DD LLL DD", "DD L DDDD", "DD LL DDDD"],
    },
    Layout {
        region: "ar",
        size: (400.0, 130.0),
        letters: (65.0, 78.0),
        line: (16.0, 384.0),
        width: (0.48, 0.58),
        band: false,
        print: (true, false),
        patterns: &["LL DDD LL", "LLL DDD"],
    },
    Layout {
        region: "mx",
        size: (300.0, 150.0),
        letters: (64.0, 80.0),
        line: (12.0, 288.0),
        width: (0.4, 0.5),
        band: false,
        print: (true, true),
        patterns: &["LLL DDD L", "LLL DD DD", "DDDLLL"],
    },
];

/// Letters that most series use: those that look like digits are left out.
const SERIES: &[u8] = b"ABCDEFGHJKLMNPRSTUVWXYZ";

impl Plate {
    /// A plate of some country, with random text, letters, colours and wear.
    pub fn random(rng: &mut Rng) -> Self {
        // The first three are drawn more often than the rest.
        let choice = [0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 6, 7];
        let layout = rng.one_of(&choice).and_then(|n| LAYOUTS.get(*n)).unwrap_or(&LAYOUTS[0]);
        let (w, h) = layout.size;
        let body = rng.between(20.0, 190.0);
        let mut picture = surroundings(rng, layout.size, body);
        let light = rng.chance(0.92);
        let (ground, ink) = if light {
            (rng.between(170.0, 235.0), rng.between(10.0, 55.0))
        } else {
            (rng.between(25.0, 60.0), rng.between(170.0, 230.0))
        };
        fill(&mut picture, (AROUND, AROUND), layout.size, ground);
        let mut brush = Brush { on: &mut picture, alphabet: Alphabet::random(rng, layout.width), ground, ink };
        if layout.band {
            band(rng, &mut brush, h);
        }
        if layout.print.0 {
            small_print(rng, &mut brush, layout.size, h * 0.14);
        }
        if layout.print.1 && rng.chance(0.6) {
            small_print(rng, &mut brush, layout.size, h * 0.91);
        }
        let text =
            rng.one_of(layout.patterns).map_or_else(String::new, |pattern| line(rng, &mut brush, layout, pattern));
        for (x, y) in [(0.2, 0.1), (0.8, 0.1), (0.2, 0.9), (0.8, 0.9), (0.1, 0.5), (0.92, 0.5)] {
            if rng.chance(0.2) {
                let (grey, radius) = (rng.between(20.0, 190.0), h * rng.between(0.02, 0.05));
                disc(&mut picture, (AROUND + w * x, AROUND + h * y), radius, grey, 1.0);
            }
        }
        wear(rng, &mut picture, layout.size);
        Self { text, region: layout.region, picture, size: layout.size, letters: layout.letters.0 }
    }
}

/// What letters are drawn on and with.
struct Brush<'a> {
    on: &'a mut Picture,
    alphabet: Alphabet,
    ground: f32,
    ink: f32,
}

/// A piece of a vehicle: a slope of light, edges, the holder.
fn surroundings(rng: &mut Rng, (w, h): (f32, f32), body: f32) -> Picture {
    let (width, height) = (whole(w + 2.0 * AROUND), whole(h + 2.0 * AROUND));
    let mut picture = Picture::flat(width, height, body);
    let slope = rng.between(-0.4, 0.4) * body / height as f32;
    let edge = rng.between(0.0, AROUND * 0.8);
    let dark = rng.between(0.3, 1.2);
    picture.each(|_, y, value| {
        *value += slope * y;
        if y < edge {
            *value *= dark;
        }
    });
    if rng.chance(0.6) {
        let (lip, shade) = (rng.between(3.0, 12.0), if rng.chance(0.8) { rng.between(8.0, 50.0) } else { 210.0 });
        let below = rng.between(3.0, 22.0);
        fill(&mut picture, (AROUND - lip, AROUND - lip), (w + 2.0 * lip, h + lip + below), shade);
    }
    picture
}

/// The blue band with its stars and country.
fn band(rng: &mut Rng, brush: &mut Brush<'_>, h: f32) {
    let blue = rng.between(45.0, 80.0);
    fill(brush.on, (AROUND + 3.0, AROUND + 3.0), (40.0, h - 6.0), blue);
    for star in 0..12_u8 {
        let angle = f32::from(star) * std::f32::consts::TAU / 12.0;
        let (x, y) = (AROUND + 23.0 + 13.0 * angle.sin(), AROUND + 33.0 - 13.0 * angle.cos());
        disc(brush.on, (x, y), 2.2, 200.0, 1.0);
    }
    if let Some(country) = rng.one_of(&['D', 'F', 'E', 'B', 'A', 'S', 'H', 'L', 'P']) {
        brush.alphabet.clone().paint(brush.on, *country, (AROUND + 15.0, AROUND + 72.0), (24.0, 1.0), 235.0);
    }
}

/// A line of small letters around the plate's middle: a state, a town, a slogan.
fn small_print(rng: &mut Rng, brush: &mut Brush<'_>, (w, h): (f32, f32), middle: f32) {
    let count = 6 + rng.below(8);
    let height = h * rng.between(0.09, 0.13);
    let step = height * 0.85;
    let left = w / 2.0 - step * count as f32 / 2.0;
    let ink = brush.ground + (brush.ink - brush.ground) * rng.between(0.5, 1.0);
    for n in 0..count {
        let c = rng.one_of(SERIES).map_or('A', |b| char::from(*b));
        let at = (AROUND + left + step * n as f32, AROUND + middle - height / 2.0);
        brush.alphabet.clone().paint(brush.on, c, at, (height, 1.0), ink);
    }
}

/// The plate's text by its pattern; says which.
fn line(rng: &mut Rng, brush: &mut Brush<'_>, layout: &Layout, pattern: &str) -> String {
    let (height, middle) = layout.letters;
    let signs: Vec<char> = pattern
        .chars()
        .map(|sign| match sign {
            'L' => rng.one_of(SERIES).map_or('A', |b| char::from(*b)),
            'D' => rng.one_of(b"0123456789").map_or('0', |b| char::from(*b)),
            other => other,
        })
        .collect();
    let room = |sign: char| match sign {
        ' ' => 0.3,
        '*' => 0.5,
        c => brush.alphabet.width_of(c).max(0.75 * brush.alphabet.width) + 0.16,
    };
    let total: f32 = signs.iter().map(|s| room(*s)).sum::<f32>() * height;
    let (left, right) = layout.line;
    let squeeze = ((right - left) / total).min(1.25);
    let mut x = AROUND + f32::midpoint(left, right) - total * squeeze / 2.0;
    let top = AROUND + middle - height / 2.0;
    for sign in &signs {
        let step = room(*sign) * height * squeeze;
        if *sign == '*' {
            for y in [0.27, 0.75] {
                let (grey, radius) = (rng.between(60.0, 160.0), height * 0.17);
                disc(brush.on, (x + step / 2.0, top + height * y), radius, grey, 1.0);
                disc(brush.on, (x + step / 2.0, top + height * y), radius * 0.5, rng.between(40.0, 220.0), 1.0);
            }
        } else if *sign != ' ' {
            let ink = brush.alphabet.width_of(*sign) * height * squeeze;
            let at = (x + (step - ink) / 2.0, top);
            brush.alphabet.clone().paint(brush.on, *sign, at, (height, squeeze), brush.ink);
        }
        x += step;
    }
    signs.into_iter().filter(char::is_ascii_alphanumeric).collect()
}

/// Dirt in clouds, a bolt or a scratch over a letter: the same in every frame, so no frame sees better.
fn wear(rng: &mut Rng, picture: &mut Picture, (w, h): (f32, f32)) {
    let (across, down) = (4 + rng.below(14), 3 + rng.below(4));
    let mut cloud = Picture::flat(across, down, 0.0);
    cloud.each(|_, _, value| *value = rng.share());
    let (dirt, strength) = (rng.between(30.0, 170.0), rng.between(0.0, 0.45));
    let scale = (across as f32 / picture.width as f32, down as f32 / picture.height as f32);
    picture.each(|x, y, value| {
        let share = ((cloud.sample(x * scale.0, y * scale.1) - 0.5) * 2.0).clamp(0.0, 1.0) * strength;
        *value += (dirt - *value) * share;
    });
    if rng.chance(0.15) {
        let at = (AROUND + w * rng.between(0.1, 0.95), AROUND + h * rng.between(0.3, 0.8));
        disc(picture, at, h * rng.between(0.03, 0.07), rng.between(20.0, 200.0), 1.0);
    }
}

fn fill(picture: &mut Picture, (x0, y0): (f32, f32), (w, h): (f32, f32), grey: f32) {
    picture.each(|x, y, value| {
        if x >= x0 && x < x0 + w && y >= y0 && y < y0 + h {
            *value = grey;
        }
    });
}

#[allow(clippy::cast_possible_truncation, reason = "a place in a small picture")]
fn disc(picture: &mut Picture, (x, y): (f32, f32), radius: f32, grey: f32, share: f32) {
    for row in (y - radius - 1.0) as i32..=(y + radius + 1.0) as i32 {
        for column in (x - radius - 1.0) as i32..=(x + radius + 1.0) as i32 {
            let away = (column as f32 + 0.5 - x).hypot(row as f32 + 0.5 - y);
            picture.blend(column, row, grey, (radius + 0.5 - away).clamp(0.0, 1.0) * share);
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sides of a small picture")]
fn whole(v: f32) -> usize {
    v.max(1.0) as usize
}
