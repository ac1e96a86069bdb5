//! The families of models that are understood: how the values of a model's outputs are meant.

use serde::Deserialize;

/// How a model's outputs are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Centre heat map, box and corners (CenterNet, arXiv:1904.07850): our own detectors.
    Centre,
    /// One grid over strides 8, 16 and 32 (YOLOX, arXiv:2107.08430).
    Yolox,
    /// Decoded rows with objectness (YOLOv5).
    Yolov5,
    /// Decoded planes without objectness (YOLOv8, v9, v11).
    Yolov8,
    /// Detections as they are (YOLOv10, YOLO26, suppression in the graph).
    End2end,
    /// A box a query, nothing suppressed (RT-DETR, arXiv:2304.08069).
    #[serde(rename = "rt-detr")]
    RtDetr,
    /// Distributions over distances (NanoDet).
    Nanodet,
    /// A map of text (DB, arXiv:1911.08947; PP-OCR).
    Db,
    /// The four corners of a plate that is shown with its surroundings: our own corrector.
    Corners,
    /// Probabilities by time step, class 0 blank (CTC, Graves 2006): our reader, PaddleOCR's.
    Ctc,
    /// Logits by class, then by time step, the last class blank (LPRNet, arXiv:1806.10447).
    Lprnet,
    /// A class a slot, one of them for none (fast-plate-ocr).
    Slots,
}

impl Family {
    /// The word in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Centre => "centre",
            Self::Yolox => "yolox",
            Self::Yolov5 => "yolov5",
            Self::Yolov8 => "yolov8",
            Self::End2end => "end2end",
            Self::RtDetr => "rt-detr",
            Self::Nanodet => "nanodet",
            Self::Db => "db",
            Self::Corners => "corners",
            Self::Ctc => "ctc",
            Self::Lprnet => "lprnet",
            Self::Slots => "slots",
        }
    }

    /// Whether it finds things in a frame.
    #[must_use]
    pub fn finds(self) -> bool {
        !self.reads() && self != Self::Corners
    }

    /// Whether it reads plates.
    #[must_use]
    pub fn reads(self) -> bool {
        match self {
            Self::Ctc | Self::Lprnet | Self::Slots => true,
            Self::Centre
            | Self::Yolox
            | Self::Yolov5
            | Self::Yolov8
            | Self::End2end
            | Self::RtDetr
            | Self::Nanodet
            | Self::Db
            | Self::Corners => false,
        }
    }

    /// Whether boxes of one class that overlap are still to be suppressed, best first.
    #[must_use]
    pub fn overlaps(self) -> bool {
        matches!(self, Self::Yolox | Self::Yolov5 | Self::Yolov8 | Self::Nanodet)
    }

    /// Keys of `[output]` that it has.
    pub(super) fn outputs(self) -> &'static [&'static str] {
        match self {
            Self::Centre => &["heat", "box", "corners"],
            Self::Yolox | Self::Yolov5 | Self::Yolov8 | Self::End2end | Self::Nanodet => &["grid"],
            Self::RtDetr => &["box", "scores", "labels", "grid"],
            Self::Db => &["map"],
            Self::Corners => &["corners"],
            Self::Ctc | Self::Lprnet | Self::Slots => &["probs", "region", "lines"],
        }
    }

    /// What both sides of the input must be multiples of.
    pub(super) fn unit(self) -> u32 {
        match self {
            Self::Yolox | Self::Db => 32,
            _ => 1,
        }
    }
}
