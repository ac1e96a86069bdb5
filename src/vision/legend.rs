//! What a reader's model gives, as probabilities of our characters by step.
//!
//! A model has its own classes: other letters, lower case, signs of provinces, spaces. Each class becomes a character of
//! reads or nothing at all: `b` and `B` are one, what has no likeness in `A-Z` and `0-9` counts as blank. For CTC that is
//! exact: texts out of which the unknown characters are taken have the probability that the folded steps give. Where a model
//! has a fixed number of slots (`slots`), a slot is a step and is followed by a blank, so that two slots of the same
//! character are two characters; fusing and matching see one kind of lattice whatever the family.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::Error;
use super::model::{Axes, Blank, Family, Manifest, Scores, Spec, View};
use super::plate::Sight;
use crate::domain::script;

/// Most steps that are decoded; a plate has some tens.
const MAX_STEPS: usize = 1024;

/// How far a step of probabilities may be from 1.
const ROUNDING: f32 = 0.02;

/// The classes of one model.
#[derive(Debug, Clone)]
pub(super) struct Legend {
    alphabet: Vec<char>,
    /// Of each class of the model: 0 for nothing, else one more than the place in `alphabet`.
    columns: Vec<u8>,
    scores: Scores,
    axes: Axes,
    /// Steps of a model with slots, each followed by a blank.
    slots: Option<usize>,
    /// Names of the regions that it tells, in the order of its classes.
    regions: Vec<String>,
    /// Whether it tells how many lines a plate has.
    lines: bool,
}

/// The character of reads that an entry of a model's alphabet stands for.
pub(super) fn folded(entry: &str) -> Option<char> {
    let mut characters = entry.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_uppercase);
    let one = characters.next()?;
    if characters.next().is_some() { None } else { script::latin(one) }
}

impl Legend {
    /// The classes as the manifest gives them.
    pub(super) fn of(manifest: &Manifest) -> Self {
        let mut alphabet: Vec<char> = Vec::new();
        let pad = manifest.decode.pad();
        let mut columns: Vec<u8> = manifest
            .characters
            .iter()
            .map(|entry| {
                let Some(c) = folded(entry).filter(|_| manifest.family != Family::Slots || *entry != pad) else {
                    return 0;
                };
                let place = alphabet.iter().position(|known| *known == c).unwrap_or_else(|| {
                    alphabet.push(c);
                    alphabet.len() - 1
                });
                // There are 36 characters.
                u8::try_from(place + 1).unwrap_or(0)
            })
            .collect();
        let slots = (manifest.family == Family::Slots).then(|| manifest.decode.slots());
        if slots.is_none() {
            match manifest.decode.blank(manifest.family) {
                Blank::First => columns.insert(0, 0),
                Blank::Last => columns.push(0),
            }
        }
        let scores = manifest.decode.scores(manifest.family);
        let (regions, lines) = (manifest.regions.clone(), manifest.output.lines.is_some());
        Self { alphabet, columns, scores, axes: manifest.decode.axes(manifest.family), slots, regions, lines }
    }

    /// The characters of the folded classes 1 and up.
    pub(super) fn alphabet(&self) -> &[char] {
        &self.alphabet
    }

    /// Values of a folded step.
    pub(super) fn classes(&self) -> usize {
        self.alphabet.len() + 1
    }

    /// The outputs: the steps, then regions and lines where it tells of them.
    pub(super) fn wanted(&self, manifest: &Manifest) -> Vec<Spec> {
        let size = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let (pictures, classes) = (Spec::PICTURES, size(self.columns.len()));
        let shape = match (self.slots, self.axes) {
            (Some(slots), _) if manifest.decode.flat() => vec![pictures, size(slots * self.columns.len())],
            (Some(slots), _) => vec![pictures, size(slots), classes],
            (None, Axes::Ntc) => vec![pictures, -1, classes],
            (None, Axes::Nct) => vec![pictures, classes, -1],
            (None, Axes::Tnc) => vec![-1, pictures, classes],
            (None, Axes::Ct) => vec![classes, -1],
            (None, Axes::Tc) => vec![-1, classes],
        };
        let mut wanted = vec![Spec::new(manifest.output.probs.as_deref(), "probs", &shape)];
        if !self.regions.is_empty() {
            let shape = [pictures, size(self.regions.len())];
            wanted.push(Spec::new(manifest.output.region.as_deref(), "region", &shape));
        }
        if self.lines {
            wanted.push(Spec::new(manifest.output.lines.as_deref(), "lines", &[pictures, 1]));
        }
        wanted
    }

    /// Whether the output has room for one plate only.
    pub(super) fn is_single(&self) -> bool {
        self.slots.is_none() && matches!(self.axes, Axes::Ct | Axes::Tc)
    }

    /// What the model saw of plate `at` of `plates`.
    ///
    /// # Errors
    /// [`Error::Values`] when the values are not what the manifest says.
    pub(super) fn sight(
        &self,
        manifest: &Manifest,
        outputs: &[View<'_>],
        (at, plates): (usize, usize),
    ) -> Result<Sight, Error> {
        let wrong =
            |got: String, want: &str| Error::Values { model: manifest.name.clone(), got, want: want.to_owned() };
        let mut outputs = outputs.iter();
        let steps = outputs.next().map(|view| self.steps(manifest, view, (at, plates))).transpose()?;
        let mut regions = Vec::new();
        if let Some(view) = outputs.by_ref().next().filter(|_| !self.regions.is_empty()) {
            let count = self.regions.len();
            let values = view.data.get(at * count..(at + 1) * count).unwrap_or_default();
            let sum: f32 = values.iter().sum();
            if (sum - 1.0).abs() > ROUNDING || values.iter().any(|p| *p < -ROUNDING) {
                let got = format!("{count} regions that sum to {sum}");
                return Err(wrong(got, "probabilities of regions sum to 1"));
            }
            regions.extend(self.regions.iter().cloned().zip(values.iter().map(|p| p.max(0.0))));
            regions.sort_by(|a: &(String, f32), b| b.1.total_cmp(&a.1));
        }
        let lines = if self.lines { outputs.next_back().and_then(|view| view.data.get(at)) } else { None };
        let lines = lines.copied().unwrap_or(0.0);
        if !(-ROUNDING..=1.0 + ROUNDING).contains(&lines) {
            return Err(wrong(format!("{lines} for two lines"), "it is a probability"));
        }
        Ok(Sight { steps: steps.unwrap_or_default(), regions, lines })
    }

    /// The steps of two lines as those of one: what ends the first and begins the second stays apart.
    pub(super) fn joined(&self, top: &[f32], bottom: &[f32]) -> Vec<f32> {
        let mut between = vec![0.0; self.classes()];
        if let Some(blank) = between.first_mut() {
            *blank = 1.0;
        }
        [top, &between, bottom].concat()
    }

    /// The folded steps of plate `at` of `plates`: rows of [`Legend::classes`] probabilities, class 0 the blank.
    ///
    /// # Errors
    /// [`Error::Values`] when the values are not what the manifest says.
    pub(super) fn steps(
        &self,
        manifest: &Manifest,
        view: &View<'_>,
        (at, plates): (usize, usize),
    ) -> Result<Vec<f32>, Error> {
        let wrong =
            |got: String, want: &str| Error::Values { model: manifest.name.clone(), got, want: want.to_owned() };
        let classes = self.columns.len().max(1);
        let steps = view.data.len() / (classes * plates.max(1));
        if steps > MAX_STEPS {
            return Err(wrong(format!("{steps} steps"), "its input shows one plate, which has at most 1024"));
        }
        // Where class and step lie: the first value, then from step to step and from class to class.
        let (first, by_step, by_class) = match (self.slots, self.axes) {
            (Some(_), _) | (None, Axes::Ntc | Axes::Tc) => (at * steps * classes, classes, 1),
            (None, Axes::Nct | Axes::Ct) => (at * steps * classes, 1, steps),
            (None, Axes::Tnc) => (at * classes, plates * classes, 1),
        };
        let mut out = Vec::with_capacity(steps * self.classes() * 2);
        let mut row = Vec::with_capacity(classes);
        for step in 0..steps {
            row.clear();
            row.extend((0..classes).filter_map(|c| view.data.get(first + step * by_step + c * by_class)));
            match self.scores {
                Scores::Logits => softmax(&mut row),
                Scores::Probabilities => {
                    let sum: f32 = row.iter().sum();
                    if (sum - 1.0).abs() > ROUNDING || row.iter().any(|p| *p < -ROUNDING) {
                        let want = "a step's probabilities sum to 1 (decode.scores)";
                        return Err(wrong(format!("a step of {classes} classes that sum to {sum}"), want));
                    }
                }
            }
            self.fold(&row, &mut out);
            if self.slots.is_some() {
                let start = out.len();
                out.resize(start + self.classes(), 0.0);
                if let Some(blank) = out.get_mut(start) {
                    *blank = 1.0;
                }
            }
        }
        Ok(out)
    }

    /// Adds one folded step.
    fn fold(&self, row: &[f32], out: &mut Vec<f32>) {
        let start = out.len();
        out.resize(start + self.classes(), 0.0);
        for (column, p) in self.columns.iter().zip(row) {
            if let Some(sum) = out.get_mut(start + usize::from(*column)) {
                *sum += p.max(0.0);
            }
        }
    }
}

fn softmax(row: &mut [f32]) {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in row.iter_mut() {
        *value = (*value - top).exp();
        sum += *value;
    }
    for value in row {
        *value /= sum;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ctc::{self, Probs};
    use super::*;

    fn manifest(keys: &str) -> Manifest {
        let text = format!(
            "name = \"r\"\nversion = \"1\"\nfile = \"r.onnx\"\nsha256 = \"{}\"\nlicence = \"MIT\"\n{keys}\n[input]\n\
             name = \"x\"\nsize = [8, 4]\nchannels = 1\nlayout = \"nchw\"\ncolour = \"grey\"\nfit = \"stretch\"\n",
            "0".repeat(64)
        );
        Manifest::parse(&text).unwrap()
    }

    fn steps(manifest: &Manifest, shape: &[i64], data: &[f32], place: (usize, usize)) -> (Legend, Vec<f32>) {
        let legend = Legend::of(manifest);
        let steps = legend.steps(manifest, &View { shape, data }, place).unwrap();
        (legend, steps)
    }

    #[test]
    fn classes_that_mean_one_character_are_added_and_those_that_mean_none_are_blank() {
        let reader = manifest("family = \"ctc\"\nalphabet = \"aA京Вé-\"");
        let row = [0.1, 0.2, 0.3, 0.15, 0.05, 0.1, 0.1];
        let (legend, out) = steps(&reader, &[1, 1, 7], &row, (0, 1));
        assert_eq!(legend.alphabet(), ['A', 'B', 'E']);
        for (got, want) in out.iter().zip([0.35, 0.5, 0.05, 0.1]) {
            assert!((got - want).abs() < 1e-6, "{out:?}");
        }
    }

    #[test]
    fn axes_and_the_blanks_place_are_the_manifests() {
        // Step 0: A. Step 1: blank. Step 2: B. Of two plates, the second all blank.
        let of = |t: usize, c: usize, n: usize| f32::from(n == 0 && [1, 0, 2][t] == c || n == 1 && c == 0);
        for axes in ["ntc", "nct", "tnc"] {
            let place = |i: usize| match axes {
                "ntc" => (i / 3 % 3, i % 3, i / 9),
                "nct" => (i % 3, i / 3 % 3, i / 9),
                _ => (i / 6, i % 3, i / 3 % 2),
            };
            let reader = manifest(&format!("family = \"ctc\"\nalphabet = \"AB\"\ndecode.axes = \"{axes}\""));
            let data: Vec<f32> = (0..18).map(place).map(|(t, c, n)| of(t, c, n)).collect();
            let (_, first) = steps(&reader, &[], &data, (0, 2));
            assert_eq!(first, [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0], "{axes}");
            let (_, second) = steps(&reader, &[], &data, (1, 2));
            assert_eq!(second, [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0], "{axes}");
        }
        let last = manifest("family = \"lprnet\"\nalphabet = \"AB\"\ndecode.scores = \"probabilities\"");
        let (_, out) = steps(&last, &[1, 3, 1], &[0.7, 0.2, 0.1], (0, 1));
        assert_eq!(out, [0.1, 0.7, 0.2]);
    }

    #[test]
    fn values_that_are_no_probabilities_are_refused() {
        let reader = manifest("family = \"ctc\"\nalphabet = \"AB\"");
        let view = View { shape: &[1, 1, 3], data: &[4.0, -2.0, 1.0] };
        let error = Legend::of(&reader).steps(&reader, &view, (0, 1)).unwrap_err();
        assert!(matches!(error, Error::Values { .. }) && error.to_string().contains("decode.scores"), "{error}");
        let long = vec![1.0 / 3.0; 3 * 2000];
        let view = View { shape: &[1, 2000, 3], data: &long };
        assert!(Legend::of(&reader).steps(&reader, &view, (0, 1)).is_err());
    }

    #[test]
    fn regions_that_are_no_probabilities_and_lines_beyond_one_are_refused() {
        let reader = manifest(
            "family = \"ctc\"\nalphabet = \"AB\"\nregions = [\"none\", \"br\"]\noutput = { lines = \"lines\" }",
        );
        let legend = Legend::of(&reader);
        let names: Vec<String> = legend.wanted(&reader).into_iter().map(|spec| spec.name).collect();
        assert_eq!(names, ["probs", "region", "lines"]);
        let sight = |region: &[f32], lines: &[f32]| {
            let steps = [0.0, 1.0, 0.0, 0.0, 1.0, 0.0];
            let views = [&steps[..], region, lines].map(|data| View { shape: &[], data });
            legend.sight(&reader, &views, (1, 2))
        };
        let good = sight(&[1.0, 0.0, 0.25, 0.75], &[0.0, 0.8]).unwrap();
        assert_eq!(good.regions, [("br".to_owned(), 0.75), ("none".to_owned(), 0.25)]);
        assert!((good.lines - 0.8).abs() < 1e-6);
        let logits = sight(&[1.0, 0.0, 4.0, -2.0], &[0.0, 0.8]).unwrap_err().to_string();
        assert!(logits.contains("2 regions that sum to 2") && logits.contains("sum to 1"), "{logits}");
        let lines = sight(&[1.0, 0.0, 0.25, 0.75], &[0.0, 7.5]).unwrap_err().to_string();
        assert!(lines.contains("7.5 for two lines"), "{lines}");
    }

    #[test]
    fn lines_are_joined_so_that_equal_characters_at_their_ends_stay_two() {
        let reader = manifest("family = \"ctc\"\nalphabet = \"AB\"");
        let legend = Legend::of(&reader);
        let joined = legend.joined(&[0.0, 0.0, 1.0, 0.0, 1.0, 0.0], &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        let read = ctc::decode(Probs { data: &joined, classes: 3 }, legend.alphabet(), 1, None).unwrap();
        assert_eq!(read.text.as_str(), "BAAB");
    }

    proptest! {
        #[test]
        fn slots_read_the_product_of_their_characters(rows in prop::collection::vec([0.01_f32..1.0, 0.01_f32..1.0, 0.01_f32..1.0], 1..6)) {
            let keys = format!("family = \"slots\"\nalphabet = \"AB_\"\ndecode = {{ slots = {}, pad = \"_\" }}", rows.len());
            let reader = manifest(&keys);
            let rows: Vec<[f32; 3]> = rows.iter().map(|r| { let sum: f32 = r.iter().sum(); r.map(|p| p / sum) }).collect();
            let data: Vec<f32> = rows.iter().flatten().copied().collect();
            let (legend, out) = steps(&reader, &[], &data, (0, 1));
            let Some(read) = ctc::decode(Probs { data: &out, classes: legend.classes() }, legend.alphabet(), 1, None) else {
                return Ok(());
            };
            // By brute force: every way to fill the slots, pads dropped.
            let mut texts = std::collections::BTreeMap::<String, f32>::new();
            for code in 0..3_usize.pow(rows.len() as u32) {
                let (mut p, mut text) = (1.0, String::new());
                for (at, row) in rows.iter().enumerate() {
                    let class = code / 3_usize.pow(at as u32) % 3;
                    p *= row[class];
                    text.push_str(["A", "B", ""][class]);
                }
                *texts.entry(text).or_default() += p;
            }
            prop_assert!((texts[read.text.as_str()] - read.confidence).abs() < 1e-3);
            for candidate in &read.candidates {
                prop_assert!((texts[candidate.text.as_str()] - candidate.confidence).abs() < 1e-3);
            }
        }
    }
}
