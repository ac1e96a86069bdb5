//! What the mirrors are made of, from the configuration.

use std::sync::Arc;

use crate::centre::mirror::{HomeAssistant, Names, Settings};
use crate::centre::topics::{self, HomeAssistantTopics};
use crate::config::{Config, Mirrors};

/// Which mirrors there are, and what they call things.
pub(super) fn settings(config: &Config, wanted: &Mirrors) -> Result<Settings, topics::Error> {
    let home_assistant = wanted.home_assistant.as_ref().map(|wanted| {
        let topics = HomeAssistantTopics::new(&wanted.prefix, &config.site.id)?;
        Ok::<_, topics::Error>(HomeAssistant { topics, plates: wanted.plates })
    });
    let lines = config.cameras.iter().flat_map(|c| c.lines.iter().map(|line| (c.number, line.name.clone())));
    let names = Names {
        cameras: config.cameras.iter().map(|camera| (camera.number, camera.id.clone())).collect(),
        rules: config.rules.iter().map(|rule| (rule.rule.number, Arc::clone(&rule.rule))).collect(),
        lists: config.hotlists.iter().map(|list| (list.number, list.id.clone())).collect(),
        lines: lines.collect(),
    };
    Ok(Settings {
        json: wanted.json,
        onvif: wanted.onvif,
        home_assistant: home_assistant.transpose()?,
        severity: wanted.severity,
        names,
    })
}
