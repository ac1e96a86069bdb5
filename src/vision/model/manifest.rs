//! What a model is, as its `manifest.toml` says: family, file and digest, input, outputs, classes, thresholds, licence.
//!
//! Nothing about a model is guessed from its bytes: what the manifest says is checked against them when it is loaded, and
//! a difference is an error that names both. Every fault of a manifest is reported at once. `docs/models.md` lists the
//! keys for people who bring their own model.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Decode, Family, Input};
use crate::domain::{Class, Provider};
use crate::vision::Error;

/// Name of the file that describes a model, in the model's folder.
pub const MANIFEST_FILE: &str = "manifest.toml";

/// Largest manifest that is read, in bytes.
const MAX_MANIFEST_BYTES: u64 = 64 * 1024;

/// Names of the outputs, by what they mean; each family has its own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outputs {
    /// `centre`: score of each class and cell, 0..1, `[1, classes, rows, columns]`.
    pub heat: Option<String>,
    /// `rt-detr`: boxes. `centre`: distances left, top, right, bottom from the cell's middle, input pixels, `[1, 4, rows, columns]`.
    #[serde(rename = "box")]
    pub boxes: Option<String>,
    /// `centre`, optional: x and y offsets to the four corners, input pixels, `[1, 8, rows, columns]`. `corners`: x and y of top
    /// left, top right, bottom right, bottom left, -1..1 across the input, `[n, 8]`.
    pub corners: Option<String>,
    /// Detectors with one output for all, and `rt-detr` in one form.
    pub grid: Option<String>,
    /// `rt-detr`: scores of each query and class, or of each query.
    pub scores: Option<String>,
    /// `rt-detr`, optional: class number of each query, 64-bit integers.
    pub labels: Option<String>,
    /// `db`: probability of text, `[1, 1, rows, columns]`.
    pub map: Option<String>,
    /// Readers: scores of each step or slot and class.
    pub probs: Option<String>,
    /// Readers with `regions`: probability of each of them, `[n, regions]`.
    pub region: Option<String>,
    /// Readers, optional: probability that the plate has two lines, `[n, 1]`.
    pub lines: Option<String>,
}

/// One more head of a pass (`centre`): classes of its own with their outputs, at a stride of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Names of its classes in the order of its scores.
    pub classes: Vec<String>,
    /// Score of each class and cell, as [`Outputs::heat`].
    pub heat: String,
    /// Distances to the four sides, as [`Outputs::boxes`].
    #[serde(rename = "box")]
    pub boxes: String,
    /// Detections of this head with a lower score are no detections; 0..1.
    #[serde(default = "default_head_score")]
    pub score: f32,
    /// Of two boxes of one class that overlap by more, the better stays; 0..1.
    #[serde(default = "default_head_nms")]
    pub nms: f32,
}

fn default_head_score() -> f32 {
    0.3
}
fn default_head_nms() -> f32 {
    0.5
}

/// What counts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Detections with a lower score are no detections; 0..1.
    pub score: f32,
    /// Of two boxes of one class that overlap by more (intersection over union), the better stays; 0..1.
    pub nms: f32,
    /// Reads with a lower probability are no reads; 0..1.
    pub read: f32,
    /// Reads with fewer characters are no reads.
    pub min_length: usize,
    /// Readers with a region `none`: what is that by more is no plate; 0..1.
    pub plate: f32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { score: 0.3, nms: 0.45, read: 0.0, min_length: 3, plate: 0.5 }
    }
}

/// A manifest that is whole in itself; whether the model agrees is seen when it is loaded.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name of the model: that of its folder.
    pub name: String,
    /// Version, free text.
    pub version: String,
    /// How outputs are to be understood.
    pub family: Family,
    /// The model's file, in the manifest's folder.
    pub file: String,
    /// SHA-256 of that file, 64 hexadecimal digits.
    pub sha256: String,
    /// The input.
    pub input: Input,
    /// Names of the outputs; by default they are called as their keys.
    #[serde(default)]
    pub output: Outputs,
    /// Detectors: names of the classes in the order of the scores. Those that are no [`Class`] are not reported.
    #[serde(default)]
    pub classes: Vec<String>,
    /// `centre`: more heads of the same pass.
    #[serde(default, rename = "head")]
    pub heads: Vec<Head>,
    /// Readers: the characters in the order of the classes, without the blank; after those of `alphabet_file`.
    #[serde(default)]
    pub alphabet: String,
    /// Readers: a file in the manifest's folder with a character a line, in the order of the classes.
    pub alphabet_file: Option<String>,
    /// SHA-256 of that file.
    pub alphabet_sha256: Option<String>,
    /// Readers: names of the issuing regions that they tell, in the order of `output.region`; `none` is no plate at all.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Readers: all characters in the order of the classes, without the blank.
    #[serde(skip)]
    pub characters: Vec<String>,
    /// Choices in decoding.
    #[serde(default)]
    pub decode: Decode,
    /// What counts.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// Readers and `corners`: share of the plate's width and height that is added on each side of the crop.
    #[serde(default)]
    pub margin: [f32; 2],
    /// What it is to be run by, the first that can, where the configuration says nothing; without it the processor.
    #[serde(default)]
    pub providers: Vec<Provider>,
    /// Licence of the weights, an SPDX expression.
    pub licence: String,
    /// The model card, in the manifest's folder.
    pub card: Option<String>,
    /// The folder that the manifest was read from.
    #[serde(skip)]
    pub folder: PathBuf,
}

impl Manifest {
    /// Reads and checks `folder/manifest.toml`.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when there is none, [`Error::Manifest`] with all that is wrong in it.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(MANIFEST_FILE);
        let unreadable = |reason: String| Error::Unreadable { path: path.clone(), reason };
        let size = std::fs::metadata(&path).map_err(|e| unreadable(e.to_string()))?.len();
        if size > MAX_MANIFEST_BYTES {
            return Err(unreadable(format!("{size} bytes, a manifest has at most {MAX_MANIFEST_BYTES}")));
        }
        let text = std::fs::read_to_string(&path).map_err(|e| unreadable(e.to_string()))?;
        let mut manifest = Self::parse(&text).map_err(|faults| Error::Manifest { path: path.clone(), faults })?;
        folder.clone_into(&mut manifest.folder);
        manifest.read_dictionary(&path)?;
        Ok(manifest)
    }

    /// Parses and checks a manifest's text.
    ///
    /// # Errors
    /// All faults found, one a line; a text that is no TOML or has an unknown key gives one, with its line.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let mut manifest: Self = toml::from_str(text).map_err(|e| vec![e.to_string().trim_end().to_owned()])?;
        manifest.characters = manifest.alphabet.chars().map(String::from).collect();
        let faults = manifest.faults();
        if faults.is_empty() { Ok(manifest) } else { Err(faults) }
    }

    /// The model's file with its folder.
    #[must_use]
    pub fn model_path(&self) -> PathBuf {
        self.folder.join(&self.file)
    }

    /// SHA-256 of the model's file, as the manifest gives it and loading has checked it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(self.sha256.as_bytes().chunks(2)) {
            let text = std::str::from_utf8(pair).unwrap_or_default();
            *byte = u8::from_str_radix(text, 16).unwrap_or(0);
        }
        digest
    }

    /// Width and height of the input.
    #[must_use]
    pub fn input_size(&self) -> (usize, usize) {
        let [w, h] = self.input.size;
        (w as usize, h as usize)
    }

    /// The classes of this program behind the model's scores; `None` for those that are not reported.
    #[must_use]
    pub fn known_classes(&self) -> Vec<Option<Class>> {
        super::faults::known(&self.classes)
    }

    /// Whether the model tells of `class`, in any of its heads.
    #[must_use]
    pub fn finds(&self, class: impl Fn(Class) -> bool) -> bool {
        let more = self.heads.iter().flat_map(Head::known_classes);
        self.known_classes().into_iter().chain(more).flatten().any(class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "plates-1"
version = "1"
family = "centre"
file = "plates-1.onnx"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
classes = ["plate"]
licence = "MIT OR Apache-2.0"
[input]
name = "image"
size = [640, 384]
channels = 1
layout = "nchw"
colour = "grey"
"#;

    #[test]
    fn a_good_manifest_has_the_documented_defaults() {
        let m = Manifest::parse(GOOD).unwrap();
        assert_eq!(m.input_size(), (640, 384));
        assert!((m.input.scale - 1.0 / 255.0).abs() < 1e-9);
        assert_eq!(m.input.fit, crate::vision::model::Fit::Letterbox);
        assert_eq!(m.known_classes(), [Some(Class::Plate)]);
        assert_eq!(m.thresholds.min_length, 3);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let faults = Manifest::parse(&GOOD.replace("classes", "clases")).unwrap_err();
        assert!(faults[0].contains("clases") && faults[0].contains("line 7"), "{faults:?}");
    }

    #[test]
    fn all_faults_are_named_at_once() {
        let text = GOOD
            .replace("plates-1.onnx", "../plates-1.onnx")
            .replace("channels = 1", "channels = 3")
            .replace("640, 384", "3, 384")
            .replace("sha256 = \"00", "sha256 = \"zz");
        let faults = Manifest::parse(&text).unwrap_err();
        assert_eq!(faults.len(), 4, "{faults:#?}");
        for key in ["file", "sha256", "input.channels", "input.size"] {
            assert!(faults.iter().any(|f| f.starts_with(key)), "{key} is missing in {faults:?}");
        }
    }

    #[test]
    fn more_heads_have_classes_and_thresholds_of_their_own() {
        let head = "[[head]]\nclasses = [\"car\", \"dog\", \"person\"]\nheat = \"object_heat\"\nbox = \"object_box\"\n";
        let m = Manifest::parse(&format!("{GOOD}{head}score = 0.4\n")).unwrap();
        assert_eq!(m.heads[0].known_classes(), [Some(Class::Car), None, Some(Class::Person)]);
        assert_eq!((m.heads[0].score, m.heads[0].nms), (0.4, 0.5));
        assert!(m.finds(|c| c == Class::Plate) && m.finds(|c| c == Class::Person) && !m.finds(|c| c == Class::Bus));
        let faults = |text: &str| Manifest::parse(text).unwrap_err().join("\n");
        let bad = faults(&format!("{GOOD}{head}nms = 1.5\n{}", head.replace("dog", "plate")));
        for part in ["head[1].nms = 1.5", "head[2].classes: another head tells of car"] {
            assert!(bad.contains(part), "{part} is missing in {bad}");
        }
        let other = faults(&format!("{}{head}", GOOD.replace("\"centre\"", "\"yolox\"")));
        assert!(other.contains("family yolox has no more heads"), "{other}");
        assert!(faults(&format!("{GOOD}{}", head.replace("box =", "corners ="))).contains("corners"));
    }

    #[test]
    fn a_reader_needs_an_alphabet_of_distinct_characters() {
        let reader = GOOD.replace("\"centre\"", "\"ctc\"");
        assert!(Manifest::parse(&reader).unwrap_err()[0].starts_with("alphabet"));
        let twice = reader.replace("licence =", "alphabet = \"ABA\"\nlicence =");
        assert!(Manifest::parse(&twice).unwrap_err()[0].contains("each character once"));
    }

    #[test]
    fn a_reader_may_tell_regions_and_lines_and_faults_in_them_are_named() {
        let reader = GOOD.replace("\"centre\"", "\"ctc\"").replace("classes = [\"plate\"]", "alphabet = \"AB\"");
        let outputs = "[output]\nregion = \"region\"\nlines = \"lines\"\n[thresholds]\nplate = 0.7\n";
        let with = |regions: &str| reader.replace("licence", &format!("regions = {regions}\nlicence"));
        let good = Manifest::parse(&format!("{}{outputs}", with("[\"none\", \"br\"]"))).unwrap();
        assert_eq!((good.regions.len(), good.thresholds.plate), (2, 0.7));
        assert!(Manifest::parse(&reader).unwrap().regions.is_empty());
        let faults = |text: &str| Manifest::parse(text).unwrap_err().join("\n");
        for (regions, part) in [
            ("[\"br\"]", "two or more must be told apart"),
            ("[\"br\", \"us\", \"br\"]", "must name each region once"),
            ("[\"br\", \"Brazil\"]", "\"Brazil\" is no name"),
            ("[\"br\", \"a-long-one\"]", "wanted 1 to 8 of"),
        ] {
            let told = faults(&with(regions));
            assert!(told.contains(part), "{told}");
        }
        assert!(faults(&format!("{reader}{outputs}")).contains("output.region: name its classes by regions"));
        let plate = with("[\"none\", \"br\"]") + "[thresholds]\nplate = 1.5\n";
        assert!(faults(&plate).contains("thresholds.plate = 1.5"));
        let detector = GOOD.replace("licence", "regions = [\"none\", \"br\"]\nlicence");
        assert!(faults(&detector).contains("regions: a model of family centre tells of none"));
        assert!(faults(&format!("{GOOD}[output]\nlines = \"lines\"\n")).contains("output.lines: family centre has"));
    }

    #[test]
    fn a_missing_manifest_is_named_by_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let error = Manifest::load(&dir.path().join("plates-9")).unwrap_err();
        assert!(error.to_string().contains("plates-9") && matches!(error, Error::Unreadable { .. }), "{error}");
    }
}
