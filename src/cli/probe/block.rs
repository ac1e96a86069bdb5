//! The `[[camera]]` block to paste: valid for our own parser, without any secret.

use std::path::Path;

use crate::camera::probe::Probed;
use crate::camera::probe::reach::place;
use crate::camera::{Credential, Settings, SourceUri};
use crate::cli::check::Finding;
use crate::domain::id::IdError;
use crate::domain::source::holds_secret;
use crate::domain::{CameraId, Transport};

/// Where credentials lie unless `data_dir` says otherwise.
const FOLDER: &str = "/var/lib/watchpost/credentials";

/// The block.
pub(super) struct Block {
    id: CameraId,
    uri: String,
    /// The address itself holds a secret, which is left out.
    secret: bool,
    credential: bool,
    /// The credential stood in the address.
    inside: bool,
    lines: Vec<String>,
}

impl Block {
    /// For the source `uri`, which was written as `typed`.
    pub(super) fn new(id: CameraId, (uri, typed): (&SourceUri, &str), credential: bool, probed: &Probed) -> Self {
        let full = if let SourceUri::Rtsp { url, .. } = uri {
            url.clone()
        } else if let SourceUri::File(path) = uri {
            absolute(path)
        } else {
            typed.to_owned()
        };
        let secret = holds_secret(&full);
        let mut lines = Vec::new();
        if probed.transport == Some("UDP") {
            lines.push("# transport = \"tcp\"   # if pictures are spoilt on the way".to_owned());
        }
        if !probed.live {
            lines.push("# realtime = true     # at its own pace, as if it were live".to_owned());
        }
        Self {
            id,
            uri: if secret { uri.to_string() } else { full },
            secret,
            credential,
            inside: credential_inside(uri).is_some(),
            lines,
        }
    }

    /// With what was needed to reach the camera, besides its credential.
    pub(super) fn reached_by(mut self, settings: &Settings) -> Self {
        let quoted = |text: String| toml::Value::String(text).to_string();
        if settings.transport != Transport::Auto {
            self.lines.retain(|line| !line.contains("transport ="));
            self.lines.insert(0, format!("transport = \"{}\"", settings.transport));
        }
        if let Some(ca) = &settings.ca {
            self.lines.insert(0, format!("ca = {}", quoted(absolute(ca))));
        }
        self
    }

    /// The text to paste.
    pub(super) fn text(&self) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let id = quoted(self.id.as_str());
        let mut lines = vec![
            "[[camera]]".to_owned(),
            format!("id = {id}   # your name for it: 1 to 16 of a-z, 0-9 and -"),
            "number = 1   # its number in alerts; each camera has its own".to_owned(),
            format!("uri = {}", quoted(&self.uri)),
        ];
        if self.credential {
            lines.push(format!("credential = {id}   # names the file that holds user:password"));
        }
        lines.extend(self.lines.iter().cloned());
        lines.extend([
            "# location = [52.5200, 13.4050]   # latitude and longitude; without it, where the box stands".to_owned(),
            "# heading = 90                    # where it looks, degrees clockwise from north".to_owned(),
            "# road = \"B 96, northbound\"".to_owned(),
        ]);
        lines.join("\n") + "\n"
    }

    /// How the credential is stored, where there is one.
    pub(super) fn how_to_store(&self) -> Option<String> {
        self.credential.then(|| {
            format!(
                "The credential does not belong into the configuration. Store it as a file (type user:password, Enter, Ctrl-D):\n\n\
                 sudo install -d -m 700 {FOLDER}\n\
                 sudo install -m 600 /dev/stdin {FOLDER}/{}\n",
                self.id
            )
        })
    }

    /// What is to be said of the address.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.inside {
            findings.push(Finding::warning(
                "address",
                "user and password stand in the address: it is in your shell's history now",
                "store them as the credential below, and use --user next time",
            ));
        }
        if self.secret {
            findings.push(Finding::warning(
                "address",
                "the address itself holds a password or token, which is left out of the block below",
                "see whether the camera has an address without it, and use `credential`",
            ));
        }
        findings
    }
}

/// The credential that stood in the address.
pub(super) fn credential_inside(uri: &SourceUri) -> Option<&Credential> {
    if let SourceUri::Rtsp { credential, .. } = uri { credential.as_ref() } else { None }
}

/// An id made of the host's or the file's name.
///
/// # Errors
/// Never but for a constant that is no id.
pub(super) fn id_of(uri: &SourceUri) -> Result<CameraId, IdError> {
    let name = if let SourceUri::Rtsp { url, .. } = uri {
        place(url).map(|(host, _)| host).unwrap_or_default()
    } else {
        let shown = uri.to_string();
        let path = Path::new(shown.split('?').next().unwrap_or_default());
        path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
    };
    // Of a name the host alone, of an address all of it.
    let is_name = name.chars().any(|c| c.is_ascii_alphabetic()) && !name.contains(':');
    let name = if is_name { name.split('.').next().unwrap_or_default() } else { &name };
    let mut id = String::new();
    for c in name.to_ascii_lowercase().chars() {
        let c = if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
        if c != '-' || !(id.is_empty() || id.ends_with('-')) {
            id.push(c);
        }
    }
    id.truncate(crate::domain::id::MAX_LEN);
    CameraId::new(id.trim_end_matches('-')).or_else(|_| CameraId::new("camera"))
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config;
    use crate::domain::source::SECRET_KEYS;

    fn parse(text: &str) -> SourceUri {
        text.parse().unwrap()
    }

    fn probed(live: bool) -> Probed {
        let settings = crate::camera::Settings::new(CameraId::new("c").unwrap(), 1, parse("x.mp4"));
        Probed { live, ..Probed::nothing(&settings) }
    }

    /// What the configuration makes of the block.
    fn read(text: &str) -> config::Camera {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("watchpost.toml");
        std::fs::write(&path, format!("[box]\nsite = \"s\"\nid = \"b\"\n{text}")).unwrap();
        config::load(&path).unwrap_or_else(|e| panic!("{e}\n{text}")).cameras.remove(0)
    }

    #[test]
    fn the_block_is_a_valid_camera_without_the_credential() {
        let uri = parse("rtsp://admin:hunter2@192.0.2.7:8554/Streaming/101?channel=1");
        let block = Block::new(id_of(&uri).unwrap(), (&uri, ""), true, &probed(true));
        let text = block.text() + &block.how_to_store().unwrap();
        assert!(!text.contains("hunter2") && !text.contains("admin"), "{text}");
        let camera = read(&block.text());
        assert_eq!(camera.uri, "rtsp://192.0.2.7:8554/Streaming/101?channel=1");
        assert_eq!((camera.id.as_str(), camera.number), ("192-0-2-7", 1));
        assert_eq!(camera.credential.as_deref(), Some("192-0-2-7"));
        assert!(block.findings()[0].what.contains("shell's history"));
    }

    #[test]
    fn the_commented_lines_are_valid_too() {
        let uri = parse("clip.mp4");
        let mut all = probed(false);
        all.transport = Some("UDP");
        let text = Block::new(id_of(&uri).unwrap(), (&uri, ""), false, &all).text().replace("\n# ", "\n");
        let camera = read(&text);
        assert_eq!((camera.heading, camera.road.as_deref()), (Some(90.0), Some("B 96, northbound")));
        assert!(camera.realtime && camera.uri.starts_with('/'), "{text}");
    }

    #[test]
    fn a_secret_in_the_address_is_left_out_and_said() {
        for key in SECRET_KEYS {
            for tail in [format!("user=a_{key}hunter2_channel=1"), format!("live?user=a&{key}hunter2")] {
                let uri = parse(&format!("rtsp://192.0.2.7/{tail}"));
                let block = Block::new(id_of(&uri).unwrap(), (&uri, ""), false, &probed(true));
                assert!(!block.text().contains("hunter2"), "{}", block.text());
                assert!(block.findings()[0].what.contains("left out"));
            }
        }
    }

    #[test]
    fn ids_are_made_of_hosts_and_files() {
        for (uri, id) in [
            ("rtsp://192.168.100.200/x", "192-168-100-200"),
            ("rtsp://Cam-Gate.example.org/x", "cam-gate"),
            ("rtsp://[fe80::1:2]/x", "fe80-1-2"),
            ("/data/Street A (1).mp4", "street-a-1"),
            ("/", "camera"),
            ("a_very_long_name_of_a_file.mkv", "a-very-long-name"),
        ] {
            assert_eq!(id_of(&parse(uri)).unwrap().as_str(), id, "{uri}");
        }
    }

    proptest! {
        #[test]
        fn any_path_makes_a_block_that_parses(path in "[ -~äß]{1,40}") {
            let uri = SourceUri::File(path.into());
            read(&Block::new(id_of(&uri).unwrap(), (&uri, ""), true, &probed(false)).text());
        }
    }
}
