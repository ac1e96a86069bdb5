//! Letters drawn as strokes: round-ended lines at any size, smooth at the edges, no font file.
//!
//! Used to label annotated pictures and the sheets of `make eval`. Digits, capital letters and a few signs; lower case is drawn as capitals and
//! anything else as a question mark.

/// Height of a letter in units of its grid; the base line is at this `y`.
const HEIGHT: f32 = 12.0;

/// From one letter's left edge to the next one's.
const ADVANCE: f32 = 11.5;

/// Thickness of a stroke.
const THICK: f32 = 1.9;

/// A point of a picture or of a letter.
type Spot = (f32, f32);

/// The strokes of `c`: lines through points, each a column 0–8 and a row 0–c, both hexadecimal.
fn strokes(c: char) -> &'static str {
    match c.to_ascii_uppercase() {
        'A' => "0c 40 8c|18 78",
        'B' => "0c 00 50 71 82 84 75 56 06|56 77 88 8a 7b 5c 0c",
        'C' => "82 71 50 30 11 03 09 1b 3c 5c 7b 8a",
        'D' => "00 0c 4c 6b 89 83 61 40 00",
        'E' => "80 00 0c 8c|06 66",
        'F' => "80 00 0c|06 66",
        'G' => "82 71 50 30 11 03 09 1b 3c 5c 7b 8a 87 57",
        'H' => "00 0c|80 8c|06 86",
        'I' => "20 60|40 4c|2c 6c",
        'J' => "40 80|80 89 7b 5c 3c 1b 09",
        'K' => "00 0c|80 07|35 8c",
        'L' => "00 0c 8c",
        'M' => "0c 00 47 80 8c",
        'N' => "0c 00 8c 80",
        'O' => "30 50 71 83 89 7b 5c 3c 1b 09 03 11 30",
        'P' => "0c 00 50 71 82 85 76 57 07",
        'Q' => "30 50 71 83 89 7b 5c 3c 1b 09 03 11 30|59 8c",
        'R' => "0c 00 50 71 82 85 76 57 07|47 8c",
        'S' => "82 71 50 30 11 02 04 15 36 56 77 88 8a 7b 5c 3c 1b 0a",
        'T' => "00 80|40 4c",
        'U' => "00 09 1b 3c 5c 7b 89 80",
        'V' => "00 4c 80",
        'W' => "00 2c 45 6c 80",
        'X' => "00 8c|80 0c",
        'Y' => "00 46 80|46 4c",
        'Z' => "00 80 0c 8c",
        '0' => "30 50 71 83 89 7b 5c 3c 1b 09 03 11 30|63 29",
        '1' => "13 40 4c|1c 7c",
        '2' => "03 11 30 50 71 83 85 0c 8c",
        '3' => "02 11 30 50 71 82 84 75 56 36|56 77 88 8a 7b 5c 3c 1b 0a",
        '4' => "6c 60 08 88",
        '5' => "80 10 05 34 54 75 87 8a 7b 5c 3c 1b 0a",
        '6' => "71 50 30 12 05 09 1b 3c 5c 7b 89 87 75 54 34 15 07",
        '7' => "00 80 3c",
        '8' => "30 50 71 82 84 75 56 36 15 04 02 11 30|36 17 08 0a 1b 3c 5c 7b 8a 88 77 56",
        '9' => "1b 3c 5c 7a 87 83 71 50 30 11 03 05 17 38 58 77 85",
        '%' => "80 0c|10 20 31 32 23 13 02 01 10|69 79 8a 8b 7c 6c 5b 5a 69",
        '.' => "3c 3c",
        ',' => "3b 2d",
        '-' => "16 76",
        ':' => "44 44|4a 4a",
        '/' => "80 0c",
        ' ' => "",
        _ => "02 11 30 50 71 83 75 47 48|4c 4c",
    }
}

/// The segments of a letter whose top left is at `origin`, `scale` pixels a unit.
fn segments(c: char, origin: Spot, scale: f32) -> Vec<(Spot, Spot)> {
    #[expect(clippy::cast_precision_loss, reason = "a hexadecimal digit")]
    let coordinate = |digit: Option<char>| digit.and_then(|d| d.to_digit(16)).unwrap_or(0) as f32;
    let mut all = Vec::new();
    for line in strokes(c).split('|') {
        let points: Vec<Spot> = line
            .split(' ')
            .filter(|p| !p.is_empty())
            .map(|p| {
                let mut digits = p.chars();
                let (x, y) = (coordinate(digits.next()), coordinate(digits.next()));
                (origin.0 + x * scale, origin.1 + y * scale)
            })
            .collect();
        all.extend(points.windows(2).filter_map(|pair| match pair {
            [a, b] => Some((*a, *b)),
            _ => None,
        }));
    }
    all
}

/// Width of `text` in pixels at letters `height` pixels high.
pub fn width(text: &str, height: f32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a label's length")]
    let letters = text.chars().count() as f32;
    (letters * ADVANCE - (ADVANCE - 8.0)).max(0.0) * height / HEIGHT
}

/// Calls `ink(x, y, share)` for every pixel that `text`, with its top left at `origin`, covers in part or whole.
pub fn text(text: &str, origin: Spot, height: f32, ink: &mut dyn FnMut(i32, i32, f32)) {
    let scale = height / HEIGHT;
    for (at, c) in text.chars().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a label's length")]
        let left = origin.0 + at as f32 * ADVANCE * scale;
        lines(&segments(c, (left, origin.1), scale), THICK * scale, ink);
    }
}

/// Calls `ink(x, y, share)` for every pixel within half of `thick` of one of the lines; each pixel once.
pub fn lines(lines: &[(Spot, Spot)], thick: f32, ink: &mut dyn FnMut(i32, i32, f32)) {
    let reach = thick / 2.0 + 1.0;
    let ends = || lines.iter().flat_map(|(a, b)| [*a, *b]);
    let (mut low, mut high) = ((f32::MAX, f32::MAX), (f32::MIN, f32::MIN));
    for (x, y) in ends() {
        low = (low.0.min(x), low.1.min(y));
        high = (high.0.max(x), high.1.max(y));
    }
    if lines.is_empty() || ![low.0, low.1, high.0, high.1].iter().all(|v| v.is_finite()) {
        return;
    }
    for y in whole(low.1 - reach)..=whole(high.1 + reach) {
        for x in whole(low.0 - reach)..=whole(high.0 + reach) {
            #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
            let middle = (x as f32 + 0.5, y as f32 + 0.5);
            let near = lines.iter().map(|line| distance(middle, *line)).fold(f32::MAX, f32::min);
            let share = (thick / 2.0 + 0.5 - near).clamp(0.0, 1.0);
            if share > 0.0 {
                ink(x, y, share);
            }
        }
    }
}

/// A coordinate as a whole number, held to what a picture can have.
#[expect(clippy::cast_possible_truncation, reason = "held to a picture's size")]
fn whole(v: f32) -> i32 {
    v.floor().clamp(-16_384.0, 16_384.0) as i32
}

/// From a point to the nearest point of a line between two.
fn distance(p: Spot, (a, b): (Spot, Spot)) -> f32 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length = dx * dx + dy * dy;
    let t = if length > 0.0 { (((p.0 - a.0) * dx + (p.1 - a.1) * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (p.0 - a.0 - t * dx).hypot(p.1 - a.1 - t * dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_and_digit_has_its_own_form_inside_its_cell() {
        let all: Vec<char> = ('A'..='Z').chain('0'..='9').collect();
        let forms: std::collections::BTreeSet<&str> = all.iter().map(|c| strokes(*c)).collect();
        assert_eq!(forms.len(), all.len());
        for c in all {
            for (a, b) in segments(c, (0.0, 0.0), 1.0) {
                for (x, y) in [a, b] {
                    assert!((0.0..=8.0).contains(&x) && (0.0..=HEIGHT).contains(&y), "{c}");
                }
            }
        }
    }

    #[test]
    fn text_inks_pixels_within_its_width() {
        let (mut most, mut count) = (0, 0);
        text("AB1", (0.0, 0.0), 24.0, &mut |x, _, _| {
            most = most.max(x);
            count += 1;
        });
        let wide = width("AB1", 24.0);
        assert!(count > 100 && most as f32 <= wide + 3.0 && most as f32 >= wide - 6.0, "{count} {most} {wide}");
    }
}
