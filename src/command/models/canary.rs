//! Canary pictures: what a model must see in them, what it saw, and how many of its answers were right.
//!
//! Each thing that must be seen is one answer: right when something seen fits it (text and place where they are given; each
//! thing seen fits one wanted at most). A picture in which nothing must be seen is one answer: right when no plate was
//! read. A read that fits nothing wanted is one more answer, a wrong one. The score is right answers of all, in ‰. No
//! picture is looked at here: what was seen comes from the room that runs models.

use minicbor::{Decode, Encode};

use super::package::PICTURES;
use crate::domain::{Class, Rect};

/// Most pictures of a package.
pub const MAX_CANARIES: usize = 64;
/// Most things that one picture must show.
const MAX_WANTED: usize = 16;
/// Overlap (intersection over union) from which a box is the wanted one.
const SAME_PLACE: f32 = 0.5;
/// What a relative box counts in: the whole width or height.
const WHOLE: f32 = 65_535.0;

/// Left, top, right, bottom of a picture; 65535 is the whole.
pub type Place = [u16; 4];

/// One picture with all that must be seen in it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Canary {
    /// Its name under `canary/`.
    #[n(0)]
    pub picture: String,
    /// The package is refused unless all of its answers are right.
    #[n(1)]
    pub must: bool,
    /// The picture is one plate, edge to edge: nothing is searched.
    #[n(2)]
    pub crop: bool,
    /// The plates in it.
    #[n(3)]
    pub plates: Vec<Plate>,
    /// Vehicles and persons in it; others may be there too.
    #[n(4)]
    pub objects: Vec<Object>,
}

/// A plate: wanted, or seen.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Plate {
    /// What it says; wanted without: that it is found is enough; seen without: it was found and not read.
    #[n(0)]
    pub text: Option<String>,
    /// Where it is; wanted without: anywhere.
    #[n(1)]
    pub place: Option<Place>,
}

/// A vehicle or person: wanted, or seen.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Object {
    /// What it is.
    #[n(0)]
    pub class: Class,
    /// Where it is.
    #[n(1)]
    pub place: Place,
}

/// What was seen in one picture.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Seen {
    /// Plates found, read or not.
    #[n(0)]
    pub plates: Vec<Plate>,
    /// Vehicles and persons.
    #[n(1)]
    pub objects: Vec<Object>,
    /// How long it took, µs.
    #[n(2)]
    pub micros: u32,
    /// Why the models failed on it.
    #[n(3)]
    pub fault: Option<String>,
}

/// How one picture went.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Row {
    /// The picture.
    #[n(0)]
    pub picture: String,
    /// All answers had to be right.
    #[n(1)]
    pub must: bool,
    /// Right answers.
    #[n(2)]
    pub right: u16,
    /// All answers.
    #[n(3)]
    pub of: u16,
    /// How long it took, µs.
    #[n(4)]
    pub micros: u32,
    /// Why the models failed on it.
    #[n(5)]
    pub fault: Option<String>,
}

/// How all pictures went.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Score {
    /// A row a picture.
    #[n(0)]
    pub rows: Vec<Row>,
    /// What was promised, ‰.
    #[n(1)]
    pub least: u16,
}

impl Canary {
    /// A picture of one plate alone that must be read.
    #[must_use]
    pub fn of_plate(picture: &str, text: &str) -> Self {
        let plates = vec![Plate { text: Some(text.to_owned()), place: None }];
        Self { picture: picture.to_owned(), must: true, crop: true, plates, objects: Vec::new() }
    }

    /// Its file in the package.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{PICTURES}{}", self.picture)
    }

    /// Compares what was seen with what must be seen.
    #[must_use]
    pub fn judge(&self, seen: &Seen) -> Row {
        let mut plates: Vec<&Plate> = seen.plates.iter().collect();
        let mut objects: Vec<&Object> = seen.objects.iter().collect();
        let mut right = 0;
        for wanted in &self.plates {
            let fits = |plate: &&Plate| wanted.fits(plate);
            right += usize::from(plates.iter().position(fits).map(|at| plates.swap_remove(at)).is_some());
        }
        for wanted in &self.objects {
            let fits = |object: &&Object| wanted.class == object.class && same_place(wanted.place, object.place);
            right += usize::from(objects.iter().position(fits).map(|at| objects.swap_remove(at)).is_some());
        }
        let nothing_wanted = self.plates.is_empty() && self.objects.is_empty();
        let extra = plates.iter().filter(|plate| plate.text.is_some()).count();
        right += usize::from(nothing_wanted && extra == 0);
        let of = (self.plates.len() + self.objects.len()).max(1) + if nothing_wanted { 0 } else { extra };
        let failed = seen.fault.is_some();
        Row {
            picture: self.picture.clone(),
            must: self.must,
            right: if failed { 0 } else { u16::try_from(right).unwrap_or(u16::MAX) },
            of: u16::try_from(of).unwrap_or(u16::MAX),
            micros: seen.micros,
            fault: seen.fault.clone(),
        }
    }
}

impl Plate {
    fn fits(&self, seen: &Self) -> bool {
        let place = match (self.place, seen.place) {
            (None, _) => true,
            (Some(wanted), Some(got)) => same_place(wanted, got),
            (Some(_), None) => false,
        };
        place && (self.text.is_none() || self.text == seen.text)
    }
}

impl Score {
    /// Of what was seen in each picture, in their order.
    #[must_use]
    pub fn of(canaries: &[Canary], seen: &[Seen], least: u16) -> Self {
        let nothing = Seen { fault: Some("not looked at".to_owned()), ..Seen::default() };
        let seen = seen.iter().chain(std::iter::repeat(&nothing));
        Self { rows: canaries.iter().zip(seen).map(|(canary, seen)| canary.judge(seen)).collect(), least }
    }

    /// Right answers, and all.
    #[must_use]
    pub fn answers(&self) -> (u64, u64) {
        self.rows.iter().fold((0, 0), |(right, of), row| (right + u64::from(row.right), of + u64::from(row.of)))
    }

    /// Right answers of all, ‰.
    #[must_use]
    pub fn permille(&self) -> u16 {
        let (right, of) = self.answers();
        u16::try_from(right * 1000 / of.max(1)).unwrap_or(0)
    }

    /// Mean time a picture, µs.
    #[must_use]
    pub fn mean_micros(&self) -> u64 {
        let sum: u64 = self.rows.iter().map(|row| u64::from(row.micros)).sum();
        sum / (self.rows.len() as u64).max(1)
    }

    /// Why the model may not be taken, naming the pictures; `None`: it may. Names no plate.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let failed: Vec<&Row> = self.rows.iter().filter(|row| row.must && row.right < row.of).collect();
        if let Some(first) = failed.first() {
            let why = first.fault.as_ref().map_or_else(
                || format!("{} of {} answers right, all must be", first.right, first.of),
                |fault| format!("the models failed: {fault}"),
            );
            let more = match failed.len() {
                1 => String::new(),
                n => format!("; {} more pictures failed too", n - 1),
            };
            return Some(format!("canary {}: {why}{more}", first.picture));
        }
        if self.permille() < self.least {
            let (right, of) = self.answers();
            let worst = self.rows.iter().filter(|row| row.right < row.of).map(|row| row.picture.as_str());
            let worst: Vec<&str> = worst.take(4).collect();
            return Some(format!(
                "the canary pictures score {} ‰ ({right} of {of} answers right), {} ‰ were promised; wrong in {}",
                self.permille(),
                self.least,
                worst.join(", ")
            ));
        }
        None
    }
}

/// What is wrong with the canaries of a package.
pub(super) fn check(canaries: &[Canary]) -> Result<(), String> {
    if canaries.is_empty() || canaries.len() > MAX_CANARIES {
        return Err(format!("{} canary pictures, wanted 1 to {MAX_CANARIES}", canaries.len()));
    }
    for (at, canary) in canaries.iter().enumerate() {
        let picture = &canary.picture;
        if canaries.iter().take(at).any(|other| other.picture == *picture) {
            return Err(format!("two canaries with the picture {picture}"));
        }
        if canary.plates.len() + canary.objects.len() > MAX_WANTED {
            return Err(format!("canary {picture}: more than {MAX_WANTED} things in it"));
        }
        let whole = canary.crop && (canary.plates.len() != 1 || !canary.objects.is_empty());
        if whole {
            return Err(format!("canary {picture}: a picture of a plate alone shows one plate"));
        }
        let text = |p: &Plate| p.text.as_ref().is_none_or(|t| (1..=16).contains(&t.len()) && t.bytes().all(is_plate));
        if !canary.plates.iter().all(text) {
            return Err(format!("canary {picture}: a plate's text is 1 to 16 of A-Z and 0-9"));
        }
        let places = canary.plates.iter().filter_map(|p| p.place).chain(canary.objects.iter().map(|o| o.place));
        if places.into_iter().any(|[left, top, right, bottom]| left >= right || top >= bottom) {
            return Err(format!("canary {picture}: a box is left, top, right, bottom, and not empty"));
        }
    }
    if !canaries.iter().any(|canary| canary.must && !(canary.plates.is_empty() && canary.objects.is_empty())) {
        return Err("no canary picture must be right: at least one has to show something that must be seen".to_owned());
    }
    Ok(())
}

fn is_plate(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn same_place(a: Place, b: Place) -> bool {
    let rect = |[left, top, right, bottom]: [u16; 4]| Rect::new(left.into(), top.into(), right.into(), bottom.into());
    rect(a).iou(&rect(b)) >= SAME_PLACE
}

/// A box with edges from 0 to 1 as a [`Place`].
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before; a cast saturates")]
pub fn place(edges: [f32; 4]) -> Place {
    edges.map(|edge| (edge.clamp(0.0, 1.0) * WHOLE).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = [1000, 1000, 3000, 2000];
    const NEAR: Place = [1100, 1050, 3100, 2050];
    const AWAY: Place = [30_000, 30_000, 33_000, 32_000];

    fn plate(text: Option<&str>, place: Option<Place>) -> Plate {
        Plate { text: text.map(str::to_owned), place }
    }

    fn scene(plates: Vec<Plate>) -> Canary {
        Canary { picture: "a.jpg".to_owned(), must: true, crop: false, plates, objects: Vec::new() }
    }

    fn seen(plates: Vec<Plate>) -> Seen {
        Seen { plates, micros: 2_000, ..Seen::default() }
    }

    fn answers(canary: &Canary, plates: Vec<Plate>) -> (u16, u16) {
        let row = canary.judge(&seen(plates));
        (row.right, row.of)
    }

    #[test]
    fn text_and_place_must_both_fit_where_they_are_given() {
        let wanted = scene(vec![plate(Some("ABC123"), Some(HERE))]);
        assert_eq!(answers(&wanted, vec![plate(Some("ABC123"), Some(NEAR))]), (1, 1));
        assert_eq!(answers(&wanted, vec![plate(Some("ABC128"), Some(NEAR))]), (0, 2), "a wrong read is told beside");
        assert_eq!(answers(&wanted, vec![plate(Some("ABC123"), Some(AWAY))]), (0, 2));
        assert_eq!(answers(&wanted, vec![plate(None, Some(NEAR))]), (0, 1), "found and not read");
        let found = scene(vec![plate(None, Some(HERE))]);
        assert_eq!(answers(&found, vec![plate(Some("XY9"), Some(NEAR))]), (1, 1));
        let anywhere = scene(vec![plate(Some("ABC123"), None)]);
        assert_eq!(answers(&anywhere, vec![plate(Some("ABC123"), Some(AWAY))]), (1, 1));
    }

    #[test]
    fn one_plate_seen_fits_one_wanted_alone() {
        let twice = scene(vec![plate(Some("ABC123"), None), plate(Some("ABC123"), None)]);
        assert_eq!(answers(&twice, vec![plate(Some("ABC123"), None)]), (1, 2));
    }

    #[test]
    fn a_picture_of_nothing_is_right_while_nothing_is_read() {
        let empty = scene(Vec::new());
        assert_eq!(answers(&empty, Vec::new()), (1, 1));
        assert_eq!(answers(&empty, vec![plate(None, Some(HERE))]), (1, 1), "found and not read tells nobody anything");
        assert_eq!(answers(&empty, vec![plate(Some("GHOST1"), None)]), (0, 1));
    }

    #[test]
    fn objects_are_told_by_class_and_place() {
        let mut wanted = scene(Vec::new());
        wanted.objects = vec![Object { class: Class::Bus, place: HERE }];
        let judge =
            |class, place| wanted.judge(&Seen { objects: vec![Object { class, place }], ..Seen::default() }).right;
        assert_eq!((judge(Class::Bus, NEAR), judge(Class::Car, NEAR), judge(Class::Bus, AWAY)), (1, 0, 0));
    }

    #[test]
    fn the_fault_names_the_picture_and_no_plate() {
        let canaries = [
            scene(vec![plate(Some("ABC123"), None)]),
            Canary { picture: "b.jpg".to_owned(), must: false, ..scene(vec![plate(Some("DEF456"), None)]) },
        ];
        let good = seen(vec![plate(Some("ABC123"), None)]);
        let bad = seen(vec![plate(Some("WRONG1"), None)]);
        let score = |a: &Seen, b: &Seen, least| Score::of(&canaries, &[a.clone(), b.clone()], least);
        let half = score(&good, &seen(Vec::new()), 500);
        assert_eq!((half.permille(), half.fault(), half.mean_micros()), (500, None, 2_000));
        let less = score(&good, &seen(Vec::new()), 501).fault().unwrap();
        assert!(less.contains("500 ‰") && less.contains("501 ‰") && less.contains("b.jpg"), "{less}");
        let must = score(&bad, &good, 0).fault().unwrap();
        assert!(must.contains("a.jpg") && !must.contains("WRONG1") && !must.contains("ABC123"), "{must}");
        let failed = Seen { fault: Some("a score of 1.2".to_owned()), ..Seen::default() };
        assert!(score(&failed, &good, 0).fault().unwrap().contains("a score of 1.2"));
        let lost = Score::of(&canaries, &[], 0).fault().unwrap();
        assert!(lost.contains("not looked at") && lost.contains("1 more") || lost.contains("a.jpg"), "{lost}");
    }

    #[test]
    fn canaries_that_prove_nothing_are_refused() {
        let refused = |canaries: &[Canary]| check(canaries).unwrap_err();
        assert!(refused(&[]).contains("0 canary"));
        assert!(refused(&[scene(Vec::new())]).contains("must be seen"));
        let good = scene(vec![plate(Some("ABC123"), Some(HERE))]);
        assert_eq!(check(std::slice::from_ref(&good)), Ok(()));
        assert!(refused(&[good.clone(), good.clone()]).contains("two canaries"));
        assert!(refused(&[scene(vec![plate(Some("abc"), None)])]).contains("A-Z"));
        assert!(refused(&[scene(vec![plate(None, Some([5, 5, 5, 9]))])]).contains("not empty"));
        assert!(refused(&[Canary { crop: true, ..scene(Vec::new()) }]).contains("one plate"));
        let optional = Canary { must: false, ..good };
        assert!(refused(&[optional]).contains("at least one"));
    }
}
