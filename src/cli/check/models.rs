//! Are the models and the inference library there, whole, and fit for each other; do they run, and how fast?

use super::Finding;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::frame::OwnedI420;
use crate::domain::{Frame, Provider, TimeMs};
use crate::supervise::model_settings;
use crate::supervise::models::{InForce, settings_in_force};
use crate::vision::model::{Net, Vehicles};
use crate::vision::{self, Models};

pub(super) fn check(config: &Config, clock: &Clock) -> Vec<Finding> {
    let (settings, centres) = match settings_in_force(config) {
        Ok((settings, set)) if set.is_empty() => (Ok(settings), None),
        Ok((settings, set)) => {
            let text = format!("by the centre's word, in place of [vision]: {}", set.describe());
            (Ok(settings), Some(Finding::ok("models", text)))
        }
        Err(InForce::Vision(error)) => (Err(error), None),
        Err(InForce::Centre(error)) => {
            let finding = Finding::warning(
                "models",
                format!("a model that the centre put in force can't be used: {error}"),
                "the next start goes back to those before by itself; then send the model again",
            );
            (model_settings(&config.vision), Some(finding))
        }
    };
    let tried = settings.and_then(|settings| {
        let models = Models::load(&settings)?;
        let times = run_once(&models, clock)?;
        Ok((models, times))
    });
    let unused = tried.as_ref().ok().and_then(|(models, _)| unused(config, models));
    let finding = match tried {
        Ok((models, times)) => Finding::ok(
            "models",
            format!(
                "{}: {times}; {}; with {}, which has {}",
                names(&models).join(", "),
                run_by(&models),
                models.runtime.library().display(),
                Provider::names(&models.runtime.available()),
            ),
        ),
        Err(error) => Finding::failure("models", error.to_string(), remedy(&error)),
    };
    [finding].into_iter().chain(centres).chain(unused).collect()
}

/// What to do, by the kind of fault; the error itself says with which file.
fn remedy(error: &vision::Error) -> &'static str {
    use vision::Error as E;
    match error {
        E::LibraryMissing { .. } | E::LibraryUnfit { .. } | E::NoInference => {
            "give it ONNX Runtime: docs/models.md, «The inference library»"
        }
        E::ModelsMissing { .. } => "name the folder with the models by [vision] models",
        E::Unreadable { .. } => {
            "see that [vision] models has a folder of that name, and that the user who runs watchpost may read it"
        }
        E::Digest { .. } => "copy the model's folder anew from where it came; if the file is meant, correct its sha256",
        E::TooLarge { .. } | E::Refused { .. } => {
            "get or export the file anew: docs/models.md, «When a model is refused»"
        }
        E::ProviderMissing { .. } | E::ProviderFails { .. } => "docs/models.md, «Execution providers»",
        E::Load { .. } => "see whether a newer ONNX Runtime loads it, or export the model with an older opset",
        E::Manifest { .. }
        | E::NoSuchTensor { .. }
        | E::Shape { .. }
        | E::Stride { .. }
        | E::Type { .. }
        | E::MoreInputs { .. }
        | E::Values { .. } => "make the manifest say what the model is: docs/models.md, «The manifest»",
        E::NotFinite { .. } => {
            "take other weights, or export them anew with 32-bit floats; see scale, mean and std, too"
        }
        E::WrongFamily { .. } | E::FindsNone { .. } => "name a model that does this work",
        E::Run { .. } => "see whether memory is short (`watchpost check memory`); else export the model anew",
        E::Hung { .. } | E::GivenUp { .. } => {
            "the model loops on a grey picture, or this machine is far too slow for it: take another model"
        }
        E::ShortFrame { .. } | E::Rectify { .. } => "report it: a grey picture was too much",
    }
}

/// The models that are loaded, and who finds vehicles.
fn names(models: &Models) -> Vec<String> {
    let mut names: Vec<String> = models.manifests().map(|m| m.name.clone()).collect();
    names.extend(match models.vehicles {
        Vehicles::Off => Some("vehicles off".to_owned()),
        Vehicles::SamePass => Some("vehicles in the pass for plates".to_owned()),
        Vehicles::Own(_) => None,
    });
    names
}

/// What runs them: all by the same mostly.
fn run_by(models: &Models) -> String {
    let of = |net: &Net| Provider::names(net.providers());
    let all: Vec<String> = models.nets().map(of).collect();
    match all.first() {
        Some(first) if all.iter().all(|other| other == first) => format!("run by {first}"),
        _ => models.nets().map(|net| format!("{} by {}", net.manifest().name, of(net))).collect::<Vec<_>>().join(", "),
    }
}

/// A finding where one was asked for that is not used: the models run, but not as somebody meant.
fn unused(config: &Config, models: &Models) -> Option<Finding> {
    let is_used = |provider: &&Provider| models.nets().any(|net| net.providers().contains(provider));
    let unused: Vec<Provider> = config.vision.providers.iter().filter(|p| !is_used(p)).copied().collect();
    let names = Provider::names(&unused);
    (!unused.is_empty()).then(|| {
        Finding::warning(
            "models",
            format!("{names} of [vision] providers is not used: models are {}", run_by(models)),
            "name a library that has it by [vision] onnxruntime, see to its driver, or take it out: docs/models.md, «Execution providers»",
        )
    })
}

/// Runs each on a grey picture; the second time counts, the first one makes memory ready.
fn run_once(models: &Models, clock: &Clock) -> Result<String, vision::Error> {
    let frame = grey();
    let time = |work: &dyn Fn() -> Result<(), vision::Error>| {
        work()?;
        let begun = clock.monotonic();
        work()?;
        Ok::<f64, vision::Error>(clock.monotonic().saturating_sub(begun).as_secs_f64() * 1e3)
    };
    let detect = time(&|| models.detector.detect(&frame).map(drop))?;
    let read = time(&|| models.reader.read_crop(&frame).map(drop))?;
    let vehicles = match &models.vehicles {
        Vehicles::Own(detector) => format!(", {:.0} ms for vehicles", time(&|| detector.detect(&frame).map(drop))?),
        Vehicles::Off | Vehicles::SamePass => String::new(),
    };
    Ok(format!("{detect:.0} ms a frame, {read:.0} ms a plate{vehicles}"))
}

fn grey() -> Frame {
    const SIZE: (u32, u32) = (640, 384);
    let rgb = vec![0x80; SIZE.0 as usize * SIZE.1 as usize * 3];
    let (format, pixels) = OwnedI420::from_rgb(&rgb, SIZE.0, SIZE.1);
    Frame::new(format, TimeMs::default(), std::time::Duration::ZERO, 0, Box::new(pixels))
}
