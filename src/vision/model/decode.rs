//! What a manifest says about decoding where a family leaves a choice: `[decode]`.
//!
//! Every key is absent or meant: one that the family does not have is a fault of the manifest, so that nobody sets a value
//! that is not used. `docs/models.md` lists which family has which.

use serde::Deserialize;

use super::Family;

/// What scores are when they leave the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scores {
    /// 0 to 1.
    Probabilities,
    /// Any number: a sigmoid (detectors) or a softmax over the classes (readers) is still to come.
    Logits,
}

/// Order of the columns of `end2end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rows {
    /// `[1, rows, 6]`: x1, y1, x2, y2, score, class.
    BoxScoreClass,
    /// `[rows, 7]`: picture, x1, y1, x2, y2, class, score.
    PictureBoxClassScore,
}

/// Order of a reader's output: picture (n), step (t), class (c).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Axes {
    /// `[pictures, steps, classes]`.
    Ntc,
    /// `[pictures, classes, steps]`.
    Nct,
    /// `[steps, pictures, classes]`.
    Tnc,
    /// `[classes, steps]`, one picture.
    Ct,
    /// `[steps, classes]`, one picture.
    Tc,
}

/// Which class of a reader is the blank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blank {
    /// Class 0, before the alphabet.
    First,
    /// After the alphabet.
    Last,
}

/// Choices in decoding; accessors give what holds when a key is absent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Decode {
    /// `yolox`: the graph decodes boxes itself.
    pub decoded: Option<bool>,
    /// `rt-detr`, readers: what scores are.
    pub scores: Option<Scores>,
    /// `end2end`: order of the columns.
    pub rows: Option<Rows>,
    /// `nanodet`: input pixels a cell of each grid, in the order of the cells.
    pub strides: Option<Vec<u16>>,
    /// `nanodet`: largest distance of the distributions, in strides.
    pub reg_max: Option<u16>,
    /// `nanodet`: where the middle of a cell lies, in cells from its corner.
    pub offset: Option<f32>,
    /// `db`: cells of at least this value belong to a text.
    pub level: Option<f32>,
    /// `db`: how far edges are moved outwards, in areas by perimeters.
    pub unclip: Option<f32>,
    /// `ctc`, `lprnet`: order of the output.
    pub axes: Option<Axes>,
    /// `ctc`, `lprnet`: which class is the blank.
    pub blank: Option<Blank>,
    /// `slots`: how many characters there is room for.
    pub slots: Option<u16>,
    /// `slots`: the character of the alphabet that stands for none.
    pub pad: Option<String>,
    /// `slots`: slots and classes are one dimension.
    pub flat: Option<bool>,
}

impl Decode {
    /// Whether boxes come decoded.
    #[must_use]
    pub fn decoded(&self) -> bool {
        self.decoded.unwrap_or(false)
    }

    /// What scores are.
    #[must_use]
    pub fn scores(&self, family: Family) -> Scores {
        self.scores.unwrap_or(if family == Family::Lprnet { Scores::Logits } else { Scores::Probabilities })
    }

    /// Order of a reader's output.
    #[must_use]
    pub fn axes(&self, family: Family) -> Axes {
        self.axes.unwrap_or(if family == Family::Lprnet { Axes::Nct } else { Axes::Ntc })
    }

    /// Which class is the blank.
    #[must_use]
    pub fn blank(&self, family: Family) -> Blank {
        self.blank.unwrap_or(if family == Family::Lprnet { Blank::Last } else { Blank::First })
    }

    /// How many characters there is room for.
    #[must_use]
    pub fn slots(&self) -> usize {
        usize::from(self.slots.unwrap_or(0))
    }

    /// The character that stands for none; empty when there is none.
    #[must_use]
    pub fn pad(&self) -> &str {
        self.pad.as_deref().unwrap_or_default()
    }

    /// Whether slots and classes are one dimension.
    #[must_use]
    pub fn flat(&self) -> bool {
        self.flat.unwrap_or(false)
    }

    /// Order of the columns.
    #[must_use]
    pub fn rows(&self) -> Rows {
        self.rows.unwrap_or(Rows::BoxScoreClass)
    }

    /// Input pixels a cell of each grid.
    #[must_use]
    pub fn strides(&self) -> Vec<usize> {
        self.strides.as_deref().unwrap_or(&[8, 16, 32, 64]).iter().map(|s| usize::from(*s).max(1)).collect()
    }

    /// Largest distance of the distributions, in strides.
    #[must_use]
    pub fn reg_max(&self) -> usize {
        usize::from(self.reg_max.unwrap_or(7))
    }

    /// Where the middle of a cell lies.
    #[must_use]
    pub fn offset(&self) -> f32 {
        self.offset.unwrap_or(0.0)
    }

    /// Value from which a cell belongs to a text.
    #[must_use]
    pub fn level(&self) -> f32 {
        self.level.unwrap_or(0.3)
    }

    /// How far edges are moved outwards.
    #[must_use]
    pub fn unclip(&self) -> f32 {
        self.unclip.unwrap_or(1.5)
    }

    /// Keys that are given, with whether `family` has them.
    fn given(&self, family: Family) -> [(&'static str, bool, bool); 13] {
        let is = |families: &[Family]| families.contains(&family);
        [
            ("decoded", self.decoded.is_some(), is(&[Family::Yolox])),
            ("scores", self.scores.is_some(), is(&[Family::RtDetr, Family::Ctc, Family::Lprnet, Family::Slots])),
            ("rows", self.rows.is_some(), is(&[Family::End2end])),
            ("strides", self.strides.is_some(), is(&[Family::Nanodet])),
            ("reg_max", self.reg_max.is_some(), is(&[Family::Nanodet])),
            ("offset", self.offset.is_some(), is(&[Family::Nanodet])),
            ("level", self.level.is_some(), is(&[Family::Db])),
            ("unclip", self.unclip.is_some(), is(&[Family::Db])),
            ("axes", self.axes.is_some(), is(&[Family::Ctc, Family::Lprnet])),
            ("blank", self.blank.is_some(), is(&[Family::Ctc, Family::Lprnet])),
            ("slots", self.slots.is_some(), is(&[Family::Slots])),
            ("pad", self.pad.is_some(), is(&[Family::Slots])),
            ("flat", self.flat.is_some(), is(&[Family::Slots])),
        ]
    }

    /// Hands every fault to `check`.
    pub(super) fn faults(&self, family: Family, check: &mut impl FnMut(bool, String)) {
        for (key, given, has) in self.given(family) {
            check(!given || has, format!("decode.{key}: family {} has no such key", family.as_str()));
        }
        if family == Family::Slots {
            check(
                (1..=32).contains(&self.slots()),
                format!("decode.slots = {}: must be within 1 and 32", self.slots()),
            );
            check(!self.pad().is_empty(), "decode.pad: must name the character that stands for none".into());
        }
        if let Some(strides) = &self.strides {
            let good = (1..=8).contains(&strides.len()) && strides.iter().all(|s| (1..=1024).contains(s));
            check(good, format!("decode.strides = {strides:?}: one to eight numbers of 1 to 1024"));
        }
        check(
            (1..=64).contains(&self.reg_max()),
            format!("decode.reg_max = {}: must be within 1 and 64", self.reg_max()),
        );
        for (key, value, most) in
            [("offset", self.offset(), 1.0), ("level", self.level(), 1.0), ("unclip", self.unclip(), 10.0)]
        {
            check((0.0..=most).contains(&value), format!("decode.{key} = {value}: must be within 0 and {most}"));
        }
    }
}
