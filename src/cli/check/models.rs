//! Are the models and the inference library there, whole, and fit for each other?

use super::Finding;
use crate::config::Config;
use crate::supervise::model_settings;
use crate::vision::Models;
use crate::vision::model::Vehicles;

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

pub(super) fn check(config: &Config) -> Vec<Finding> {
    vec![match model_settings(&config.vision).and_then(|settings| Models::load(&settings)) {
        Ok(models) => {
            Finding::ok("models", format!("{} with {}", names(&models).join(", "), models.runtime.library().display()))
        }
        Err(error) => {
            Finding::failure("models", error.to_string(), "docs/install.md says where models and library lie")
        }
    }]
}
