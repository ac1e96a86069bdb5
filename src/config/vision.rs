//! `[vision]`: which models, and when they are believed.

use std::path::PathBuf;

use super::section::Section;
use crate::domain::Provider;

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
    /// What runs the models, the first that can; empty: as their manifests say.
    pub providers: Vec<Provider>,
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
    /// Whether of live cameras key frames alone are decoded while nothing moves, where the motion gate is on.
    pub idle_decoding: bool,
    /// Most seconds that the end of a doubtful sighting waits for a second look; 0: there is none.
    pub second_look_s: u64,
    /// Whether the shapes of plates weigh in when they are read.
    pub patterns: bool,
    /// Seconds after a pass in which the same plate on the same camera is no new one.
    pub same_plate_s: u64,
    /// Seconds for which a vehicle that stood is known again in its place.
    pub parked_s: u64,
    /// How far from its place, in widths of its plate, it is a new sighting.
    pub min_travel: f64,
}

pub(super) fn read(mut s: Section<'_>) -> Vision {
    let vision = Vision {
        models: s.path("models", "Folder with one folder a model; without it `models` beside the program or up to three folders above it, then `/usr/share/watchpost/models`, `/usr/local/share/watchpost/models`, `./models`."),
        detector: s.text_or("detector", "plates-1", "Folder name of the plate detector."),
        reader: s.text_or("reader", "reader-1", "Folder name of the plate reader."),
        corners: s.text_or("corners", "corners-1", "Folder name of the model that corrects plates' corners; empty: off. `corners-1` is left out where there is none."),
        onnxruntime: s
            .path("onnxruntime", "The ONNX Runtime library; without it `ORT_DYLIB_PATH` and the usual places."),
        providers: read_providers(&mut s),
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
        idle_decoding: s.flag("idle_decoding", true, "Decode key frames alone while nothing moves before a live camera; needs the motion gate."),
        second_look_s: s.number("second_look_s", 5, 0, 60, "Most seconds that the end of a sighting that was read with doubt waits for a second look while nothing moves before any camera; 0: there is none."),
        patterns: s.flag("patterns", true, "Let what plates of a region look like weigh in when they are read."),
        same_plate_s: s.number("same_plate_s", 60, 0, 86_400, "Seconds after a pass in which the same plate on the same camera is no new one."),
        parked_s: s.number("parked_s", 14_400, 0, 604_800, "Seconds for which a vehicle that stood and was hidden is known again in its place."),
        min_travel: s.real("min_travel", 0.6, 50.0, "How far from its place, in widths of its plate, it is a new one; without it 1.").unwrap_or(1.0),
    };
    s.finish();
    vision
}

fn read_providers(s: &mut Section<'_>) -> Vec<Provider> {
    let known = Provider::ALL.map(Provider::as_str);
    let doc = "What runs the models, the first that can: `cpu`, `cuda`, `tensorrt`, `openvino`, `migraphx`, `qnn`, `xnnpack`; without it as their manifests say, mostly `cpu`.";
    s.words("providers", &known, doc).iter().filter_map(|word| word.parse().ok()).collect()
}
