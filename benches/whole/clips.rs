//! The clips that cameras of this bench show; made once, kept in `target/bench`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use watchpost::camera::testkit;

use super::passes::street::{Clip, Film, Pass, coded, told};

/// Clips of vehicles that pass every four seconds, 1280×720 at 25 a second, and what their plates say.
pub struct Passing {
    pub paths: Vec<PathBuf>,
    /// A hotlist of them.
    pub watched: String,
    pub seconds: u32,
}

/// Where the bench keeps its files.
pub fn folder(root: &Path) -> PathBuf {
    let folder = root.join("target/bench");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The drawn street at 1920×1080, 25 a second.
pub fn street(root: &Path) -> PathBuf {
    let path = folder(root).join("street-1080p.mp4");
    let made = Command::new(root.join("scripts/bench_clip.sh")).arg(&path).status().unwrap();
    assert!(made.success(), "scripts/bench_clip.sh");
    path
}

/// `count` clips of `seconds` each.
pub fn passing(root: &Path, count: u64, seconds: u32) -> Passing {
    let mut watched = "PlateNumber,PlateState,Category,EffectiveDate,ExpiryDate\n".to_owned();
    let mut paths = Vec::new();
    for n in 0..count {
        let path = folder(root).join(format!("passing-{seconds}-{n}.mp4"));
        let passes = (0..u64::from(seconds).saturating_sub(4) / 4).map(|m| Pass {
            seed: 9_000 + 100 * n + m,
            from_s: 2.0 + 4.0 * m as f32 + 0.7 * n as f32,
            lasts_s: 2.2,
            plate_px: (60.0, 120.0),
            lane: (m % 3) as i8 - 1,
            ..Pass::default()
        });
        let clip = Clip { seconds: seconds as f32, seed: 900 + n, passes: passes.collect(), ..Clip::default() };
        let film = Film::new(&clip);
        for truth in told::truth_of(&film) {
            writeln!(watched, "{},,,,", truth.text).unwrap();
        }
        if !path.exists() {
            let part = path.with_extension("part.mp4");
            coded::encode_film(&film, &part).unwrap();
            std::fs::rename(part, &path).unwrap();
        }
        paths.push(path);
    }
    Passing { paths, watched, seconds }
}

/// 352×288 at 5 a second: one in which nothing moves, and one in which a ball does.
pub fn small(root: &Path) -> [PathBuf; 2] {
    ["smpte", "ball"].map(|pattern| {
        let path = folder(root).join(format!("small-{pattern}.mp4"));
        if !path.exists() {
            let encoder = "x264enc speed-preset=ultrafast bframes=0 key-int-max=10 threads=1 option-string=scenecut=0";
            let clip =
                testkit::Clip { size: (352, 288), fps: 5, frames: 1_000, encoder, pattern, ..testkit::Clip::H264 };
            clip.make(&path).unwrap();
        }
        path
    })
}
