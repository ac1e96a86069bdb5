//! `[vision]`: which models, and when they are believed.

use std::path::PathBuf;

use super::section::Section;

/// `[vision]`
#[derive(Debug, Clone, PartialEq)]
pub struct Vision {
    /// Folder with one folder a model.
    pub models: Option<PathBuf>,
    /// The plate detector.
    pub detector: String,
    /// The plate reader.
    pub reader: String,
    /// The corrector of corners; empty: they are taken as the detector gives them.
    pub corners: String,
    /// ONNX Runtime's library.
    pub onnxruntime: Option<PathBuf>,
    /// Score from which a detection counts, instead of the manifest's.
    pub detect_threshold: Option<f64>,
    /// Confidence from which a fused read is told, instead of the default.
    pub read_threshold: Option<f64>,
    /// Inferences at a time; 0: one a processor core.
    pub workers: u64,
    /// The detector of vehicles and persons; `None`: they are not looked for.
    pub vehicles: Option<String>,
    /// Whether cameras rest while nothing moves.
    pub motion_gate: bool,
    /// Whether the shapes of plates weigh in when they are read.
    pub patterns: bool,
}

pub(super) fn read(mut s: Section<'_>) -> Vision {
    let vision = Vision {
        models: s.path("models", "Folder with one folder a model; without it `models` beside the program."),
        detector: s.text_or("detector", "plates-1", "Folder name of the plate detector."),
        reader: s.text_or("reader", "reader-1", "Folder name of the plate reader."),
        corners: s.text_or("corners", "corners-1", "Folder name of the model that corrects plates' corners; empty: off. `corners-1` is left out where there is none."),
        onnxruntime: s
            .path("onnxruntime", "The ONNX Runtime library; without it `ORT_DYLIB_PATH` and the usual places."),
        detect_threshold: s.real(
            "detect_threshold",
            0.01,
            0.99,
            "Score from which a plate counts as found, 0–1; without it the manifest's.",
        ),
        read_threshold: s.real("read_threshold", 0.01, 0.999, "Confidence from which a read is told, 0–1."),
        workers: s.number("workers", 0, 0, 64, "Inferences at a time; 0: one a processor core."),
        vehicles: Some(s.text_or("vehicles", "", "Folder name of the detector of vehicles and persons; empty: off."))
            .filter(|name| !name.is_empty()),
        motion_gate: s.flag("motion_gate", true, "Rest while nothing moves before a camera."),
        patterns: s.flag("patterns", true, "Let what plates of a region look like weigh in when they are read."),
    };
    s.finish();
    vision
}
