//! Are the models and the inference library there, whole, and fit for each other?

use super::Finding;
use crate::config::Config;
use crate::supervise::model_settings;
use crate::vision::Models;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    vec![match model_settings(&config.vision).and_then(|settings| Models::load(&settings)) {
        Ok(models) => Finding::ok(
            "models",
            format!(
                "{} and {} with {}",
                models.detector.net().manifest().name,
                models.reader.net().manifest().name,
                models.runtime.library().display()
            ),
        ),
        Err(error) => {
            Finding::failure("models", error.to_string(), "docs/install.md says where models and library lie")
        }
    }]
}
