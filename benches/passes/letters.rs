//! Letters as dies stamp them: lines of one thickness, bowls of rounded rectangles, no font file.
//!
//! An alphabet is a set of parameters; a letter is a list of lines through points of a grid, some of them rounded.

use super::{Picture, Rng};

/// How an alphabet looks; lengths in heights of a letter.
#[derive(Debug, Clone)]
pub struct Alphabet {
    /// Width of most letters, edge to edge.
    pub width: f32,
    /// Thickness of a line.
    pub stroke: f32,
    /// Radius of what is rounded.
    pub bend: f32,
    /// Which of several shapes a letter has, a bit each.
    shapes: usize,
}

impl Alphabet {
    /// One of many.
    pub fn random(rng: &mut Rng, width: (f32, f32)) -> Self {
        Self {
            width: rng.between(width.0, width.1),
            stroke: rng.between(0.105, 0.16),
            bend: rng.between(0.13, 0.28),
            shapes: rng.below(64),
        }
    }

    /// Ink width of a letter, in its heights.
    pub fn width_of(&self, c: char) -> f32 {
        let share = match c {
            '1' => 0.6,
            'I' => return self.stroke,
            'J' | 'L' | 'E' | 'F' => 0.92,
            'M' => 1.18,
            'W' => 1.3,
            'A' | 'V' => 1.06,
            _ => 1.0,
        };
        self.width * share
    }

    fn has(&self, bit: usize) -> bool {
        self.shapes >> bit & 1 == 1
    }

    /// Paints a letter with its top left at (`x`, `y`), `height` high and `stretch` times as wide as it is by itself.
    #[allow(clippy::cast_possible_truncation, reason = "a place in a small picture")]
    pub fn paint(&self, on: &mut Picture, c: char, (x, y): (f32, f32), (height, stretch): (f32, f32), ink: f32) {
        let half = self.stroke * height / 2.0;
        let wide = (self.width_of(c) * height * stretch - 2.0 * half).max(0.0);
        let lines = self.lines(c, (x + half, y + half), (wide, height - 2.0 * half));
        let bottom = (y + height + 1.0) as i32;
        for row in (y - 1.0) as i32..=bottom {
            for column in (x - 1.0) as i32..=(x + wide + 2.0 * half + 1.0) as i32 {
                let middle = (column as f32 + 0.5, row as f32 + 0.5);
                let near = lines.iter().map(|(a, b)| distance(middle, *a, *b)).fold(f32::MAX, f32::min);
                on.blend(column, row, ink, half + 0.5 - near);
            }
        }
    }

    /// The straight pieces of a letter in a box.
    fn lines(&self, c: char, origin: Spot, (wide, high): (f32, f32)) -> Vec<(Spot, Spot)> {
        let mut lines = Vec::new();
        for line in self.strokes(c).split('|') {
            let closed = line.starts_with('@');
            let points: Vec<(Spot, bool)> = line
                .trim_start_matches('@')
                .split(' ')
                .filter_map(|p| {
                    let mut signs = p.chars();
                    let (x, y) = (signs.next()?.to_digit(16)? as f32, signs.next()?.to_digit(16)? as f32);
                    Some(((origin.0 + x / 8.0 * wide, origin.1 + y / 12.0 * high), signs.next().is_some()))
                })
                .collect();
            let path = self.rounded(&points, closed, wide.hypot(high));
            lines.extend(path.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?))));
        }
        lines
    }

    /// The path with its rounded corners as curves; closed ones end where they began.
    fn rounded(&self, points: &[(Spot, bool)], closed: bool, size: f32) -> Vec<Spot> {
        let count = points.len();
        let at = |n: usize| points.get(n % count.max(1)).map_or((0.0, 0.0), |p| p.0);
        let mut path = Vec::new();
        for (n, (p, bends)) in points.iter().enumerate() {
            let inner = closed || (n > 0 && n + 1 < count);
            if !(*bends && inner) {
                path.push(*p);
                continue;
            }
            let (before, after) = (at(n + count - 1), at(n + 1));
            let towards = |q: Spot| {
                let length = (q.0 - p.0).hypot(q.1 - p.1).max(1e-3);
                let share = (self.bend * size / length).min(0.5);
                (p.0 + (q.0 - p.0) * share, p.1 + (q.1 - p.1) * share)
            };
            let (from, to) = (towards(before), towards(after));
            for step in 0..=5_u8 {
                let t = f32::from(step) / 5.0;
                let mix = |a: f32, b: f32, c: f32| a * (1.0 - t).powi(2) + 2.0 * b * t * (1.0 - t) + c * t * t;
                path.push((mix(from.0, p.0, to.0), mix(from.1, p.1, to.1)));
            }
        }
        if closed && let Some(first) = path.first().copied() {
            path.push(first);
        }
        path
    }

    /// The strokes of a letter: lines through points, each a column 0–8 and a row 0–c, both hexadecimal; `r`: rounded;
    /// `@`: closed.
    fn strokes(&self, c: char) -> &'static str {
        match c {
            '0' | 'O' => "@00r 80r 8cr 0cr",
            '1' => "40 4c|40 03",
            '2' => "03 00r 80r 85r 0c 8c",
            '3' if self.has(0) => "00 80 45 85r 8cr 0cr 09",
            '3' => "03 00r 80r 86r 36|36 86r 8cr 0cr 09",
            '4' if self.has(1) => "40 09 89|65 6c",
            '4' => "6c 60 09 89",
            '5' => "80 00 05 85r 8cr 0cr 09",
            '6' if self.has(2) => "60 06|@05r 85r 8cr 0cr",
            '6' => "83 80r 00r 0cr 8cr 85r 05",
            '9' if self.has(2) => "2c 86|@07r 87r 80r 00r",
            '9' => "09 0cr 8cr 80r 00r 07r 87",
            '7' if self.has(3) => "00 80 82r 37r 3c",
            '7' => "00 80 3c",
            '8' => "@00r 80r 86r 06r|@06r 86r 8cr 0cr",
            'A' => "0c 40 8c|18 78",
            'B' => "@00 80r 86r 06|@06 86r 8cr 0c",
            'C' => "83 80r 00r 0cr 8cr 89",
            'D' => "@00 80r 8cr 0c",
            'E' => "80 00 0c 8c|06 76",
            'F' => "80 00 0c|06 76",
            'G' => "83 80r 00r 0cr 8cr 87 47",
            'H' => "00 0c|80 8c|06 86",
            'I' => "40 4c",
            'J' => "80 8cr 0cr 09",
            'K' => "00 0c|80 07|35 8c",
            'L' => "00 0c 8c",
            'M' if self.has(4) => "0c 00 4c 80 8c",
            'M' => "0c 00 47 80 8c",
            'N' => "0c 00 8c 80",
            'P' => "0c 00 80r 87r 07",
            'Q' => "@00r 80r 8cr 0cr|58 8c",
            'R' => "0c 00 80r 86r 06|46 8c",
            'S' => "83 80r 00r 06r 86r 8cr 0cr 09",
            'T' => "00 80|40 4c",
            'U' => "00 0cr 8cr 80",
            'V' => "00 4c 80",
            'W' if self.has(5) => "00 2c 40 6c 80",
            'W' => "00 2c 44 6c 80",
            'X' => "00 8c|80 0c",
            'Y' => "00 46 80|46 4c",
            'Z' => "00 80 0c 8c",
            _ => "",
        }
    }
}

/// A place in a picture.
type Spot = (f32, f32);

/// From a point to the nearest point of a line between two.
fn distance(p: Spot, a: Spot, b: Spot) -> f32 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length = dx * dx + dy * dy;
    let t = if length > 0.0 { (((p.0 - a.0) * dx + (p.1 - a.1) * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (p.0 - a.0 - t * dx).hypot(p.1 - a.1 - t * dy)
}
