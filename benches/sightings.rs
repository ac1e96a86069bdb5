//! Does every pass give one sighting, right, and early? The bar of passes, on drawn clips through the shipped models.
//!
//! `cargo bench --bench sightings -- passes` plays the passes of the bar (`--passes N`, 100; `--from N`: others than the
//! bar's, for tuning; `--even-blur`: smeared as much where the plate is small; `--fps N`: only so many frames of each second; `--kmh N`: as `road_kmh`) and prints a line for each
//! that is not perfect, and the table; `--crops FOLDER` writes what the reader's model was shown, `--models FOLDER` has
//! other models than the shipped ones, and `--second` has what was read with doubt looked at again in all frames, and tells what
//! that puts right and what it spoils. `-- parked` plays ten minutes of a parked car with people and cars before it and
//! the light changing (`--minutes N`; `--picture FILE` saves the first one). `-- weather` plays a minute of rain and of flicker, without and with passes, through
//! the gate. `-- real FOLDER` tells what is read of clips with a `labels.jsonl`. Clips are kept in `target/bench/passes`.

#![allow(clippy::print_stdout, reason = "a table is what it is for")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::indexing_slicing,
    reason = "counts of frames; a label without a key is null"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use watchpost::domain::{Frame, FrameFormat, PixelFormat, PlateRead, Stage, TimeMs};
use watchpost::vision::analyser::look_every;
use watchpost::vision::{Models, Settings, model, second};

use self::passes::sightings::{Lost, Played, Verdict, again, judge, of_file, play, play_shown, quantile, same};
use self::passes::street::{Clip, Film, Pass, Spoil, bar, coded, told};

#[allow(dead_code, reason = "other benches use the rest")]
mod passes;

type Failed = Box<dyn std::error::Error + Send + Sync>;

struct Asked {
    what: String,
    folder: Option<PathBuf>,
    passes: usize,
    from: u64,
    fps: Option<u32>,
    kmh: Option<f64>,
    minutes: f32,
    verbose: bool,
    even_blur: bool,
    crops: Option<PathBuf>,
    models: Option<PathBuf>,
    picture: Option<PathBuf>,
    second: bool,
}

fn asked() -> Result<Asked, Failed> {
    let mut asked = Asked {
        what: "passes".to_owned(),
        folder: None,
        passes: 100,
        from: 0,
        fps: None,
        kmh: None,
        minutes: 10.0,
        verbose: false,
        even_blur: false,
        crops: None,
        models: None,
        picture: None,
        second: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--passes" => asked.passes = value()?.parse()?,
            "--from" => asked.from = value()?.parse()?,
            "--fps" => asked.fps = Some(value()?.parse()?),
            "--kmh" => asked.kmh = Some(value()?.parse()?),
            "--minutes" => asked.minutes = value()?.parse()?,
            "--verbose" => asked.verbose = true,
            "--crops" => asked.crops = Some(value()?.into()),
            "--picture" => asked.picture = Some(value()?.into()),
            "--models" => asked.models = Some(value()?.into()),
            "--second" => asked.second = true,
            "--even-blur" => asked.even_blur = true,
            "--bench" => {} // cargo says it
            "passes" | "parked" | "weather" => asked.what = name,
            "real" => {
                asked.folder = Some(value()?.into());
                asked.what = name;
            }
            other => return Err(format!("{other}: passes, parked, weather or real FOLDER; see the file").into()),
        }
    }
    Ok(asked)
}

fn main() -> Result<(), Failed> {
    let asked = asked()?;
    let shipped = || Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let folder = asked.models.clone().unwrap_or_else(shipped);
    let models = Models::load(&model::Settings { folder, ..model::Settings::default() })?;
    match asked.what.as_str() {
        "parked" => parked(&asked, &models),
        "weather" => weather(&models),
        "real" => real(asked.folder.as_deref().ok_or("a folder")?, &models),
        _ => all_passes(&asked, &models),
    }
}

/// The clip as a file, drawn and coded where it is not there yet.
fn file_of(clip: &Clip, name: &str) -> Result<PathBuf, Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/passes");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{name}.mp4"));
    if !path.exists() {
        let part = folder.join(format!("{name}-{}.part.mp4", std::process::id()));
        coded::encode(clip, &part)?;
        std::fs::rename(part, &path)?;
    }
    Ok(path)
}

fn settings(asked: &Asked) -> Settings {
    Settings { motion_gate: true, look_every: asked.kmh.map(look_every).unwrap_or_default(), ..Settings::default() }
}

fn thinned(frames: impl Iterator<Item = Frame>, fps: Option<u32>) -> impl Iterator<Item = Frame> {
    let (mut next, slack) = (Duration::ZERO, Duration::from_millis(2));
    frames.filter(move |frame| {
        let Some(fps) = fps else { return true };
        let due = frame.pts + slack >= next;
        if due {
            next = frame.pts + Duration::from_secs(1) / fps;
        }
        due
    })
}

fn all_passes(asked: &Asked, models: &Models) -> Result<(), Failed> {
    let (mut verdicts, mut spent): (Vec<Verdict>, [usize; 5]) = (Vec::new(), [0; 5]);
    let mut looks: Vec<Look> = Vec::new();
    for n in asked.from..asked.from + asked.passes as u64 {
        let clip = bar::bar_pass(n, asked.even_blur);
        let path = file_of(&clip, &format!("{}-{n}", if asked.even_blur { "smeared" } else { "bar" }))?;
        let frames = thinned(of_file(&path)?, asked.fps);
        let played = play_shown(frames, models, &settings(asked), asked.crops.is_some())?;
        let truth = told::truth(&clip).into_iter().next().ok_or("a pass")?;
        let verdict = judge(&truth, &played);
        if let Some(folder) = &asked.crops {
            save_crops(folder, n, &truth.text, &played)?;
        }
        let s = &played.spent;
        for (sum, own) in spent.iter_mut().zip([s.frames, s.rested, s.spared, s.finds, s.reads]) {
            *sum += own;
        }
        let late = verdict.right_s.is_none_or(|s| s > 0.5);
        if asked.verbose || !verdict.right || verdict.extra > 0 || late {
            line(n, &clip, &verdict, &played);
        }
        verdicts.push(verdict);
        if asked.second {
            for (first, read) in again(of_file(&path)?, &played, models, &settings(asked))? {
                let surer = read.clone().filter(|read| second::is_better(first.as_ref(), read));
                let look = Look { truth: truth.text.clone(), first, read, surer };
                println!("{n:4} {}", look.line());
                looks.push(look);
            }
        }
    }
    table(&verdicts, spent);
    if asked.second {
        look_table(&looks);
    }
    Ok(())
}

/// What the reader was shown of a pass: number, frame, truth and what was read in the name.
fn save_crops(folder: &Path, n: u64, truth: &str, played: &Played) -> Result<(), Failed> {
    std::fs::create_dir_all(folder)?;
    for look in &played.looks {
        let Some(shown) = &look.shown else { continue };
        let bytes: Vec<u8> = shown.iter().map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect();
        let height = u32::try_from(bytes.len())? / 160;
        let Some(crop) = image::GrayImage::from_raw(160, height, bytes) else { continue };
        let read = look.read.as_ref().map_or("-", |r| r.text.as_str());
        crop.save(folder.join(format!("{n:04}-{:03}-{truth}-{read}.png", look.frame)))?;
    }
    Ok(())
}

/// A second look: what was to be read, what was, and what takes its place.
struct Look {
    truth: String,
    first: Option<PlateRead>,
    read: Option<PlateRead>,
    surer: Option<PlateRead>,
}

impl Look {
    fn is_right(&self, read: Option<&PlateRead>) -> bool {
        read.is_some_and(|read| same(&self.truth, read.text.as_str()))
    }

    fn line(&self) -> String {
        let of = |read: Option<&PlateRead>| {
            let mark = if self.is_right(read) { "right" } else { "wrong" };
            read.map_or("-".to_owned(), |r| format!("{} {:.2} of {} {mark}", r.text, r.confidence, r.frames))
        };
        let counts = if self.surer.is_some() { "counts" } else { "does not" };
        format!(
            "looked at again: {} was {}, again {}: {counts}",
            self.truth,
            of(self.first.as_ref()),
            of(self.read.as_ref())
        )
    }
}

fn look_table(looks: &[Look]) {
    let count = |what: &dyn Fn(&Look) -> bool| looks.iter().filter(|look| what(look)).count();
    let was = |look: &Look| look.is_right(look.first.as_ref());
    let now = |look: &Look| look.is_right(look.surer.as_ref().or(look.first.as_ref()));
    println!(
        "looked at again {}: replaced {}; right before {}, after {}: put right {}, spoiled {}; wrong reads surer than before {}",
        looks.len(),
        count(&|look| look.surer.is_some()),
        count(&was),
        count(&now),
        count(&|look| !was(look) && now(look)),
        count(&|look| was(look) && !now(look)),
        count(&|look| look.surer.is_some() && !now(look)),
    );
}

fn line(n: u64, clip: &Clip, v: &Verdict, played: &Played) {
    let told: Vec<String> = played
        .told
        .iter()
        .map(|t| format!("{:.2}s {:?} {} {:.2}", t.at_s, t.stage, t.text.as_deref().unwrap_or("-"), t.confidence))
        .collect();
    let pass = clip.passes.first();
    let (blur, px) = pass.map_or((0.0, (0.0, 0.0)), |p| (p.blur_px, p.plate_px));
    println!(
        "{n:4} {:10} {} doubles {} unread {} first {:?} right {:?} {:?} legible/found/reads/right {:?} blur {blur:.1} px {:.0}-{:.0} crf {} | {}",
        v.truth,
        if v.right { "right" } else { "WRONG" },
        v.extra,
        v.unread,
        v.first_s,
        v.right_s,
        v.lost,
        v.counts,
        px.0,
        px.1,
        clip.crf,
        told.join(", ")
    );
}

fn table(verdicts: &[Verdict], [frames, rested, spared, finds, reads]: [usize; 5]) {
    let count = |what: &dyn Fn(&&Verdict) -> bool| verdicts.iter().filter(what).count();
    let of = |lost: Lost| count(&|v| v.lost == Some(lost));
    let strictly = count(&|v| v.text.as_deref() == Some(v.truth.as_str()));
    println!("passes {}, right {} (0 and O told apart: {strictly})", verdicts.len(), count(&|v| v.right));
    println!(
        "missed by finding {}, reading {}, fusing {}, telling {}",
        of(Lost::Finding),
        of(Lost::Reading),
        of(Lost::Fusing),
        of(Lost::Telling)
    );
    println!(
        "duplicates {}; sightings without a read {}",
        verdicts.iter().map(|v| v.extra).sum::<usize>(),
        verdicts.iter().map(|v| v.unread).sum::<usize>()
    );
    for (name, of) in [("first alert", 0), ("first right alert", 1)] {
        let mut all: Vec<f32> = verdicts.iter().filter_map(|v| if of == 0 { v.first_s } else { v.right_s }).collect();
        let [p50, p95, most] = [0.5, 0.95, 1.0].map(|share| quantile(&mut all, share) * 1000.0);
        let within = all.iter().filter(|s| **s <= 0.5).count();
        println!(
            "legible to {name}: p50 {p50:.0}, p95 {p95:.0}, max {most:.0} ms of video time; within 500 ms {within} of {}",
            all.len()
        );
    }
    println!("frames {frames}, rested {rested}, spared {spared}; runs of the detector {finds}, plates read {reads}");
}

/// A car that stands for minutes while others pass, people walk before it, and the light changes.
fn parked(asked: &Asked, models: &Models) -> Result<(), Failed> {
    let minutes = asked.minutes;
    let stand = Pass {
        seed: 71_001,
        from_s: 0.0,
        lasts_s: minutes * 60.0,
        plate_px: (60.0, 60.0),
        hidden: 0.15,
        stands: true,
        lane: 0,
        ..Pass::default()
    };
    let mut passes = vec![stand];
    let others = (minutes * 2.0) as u64;
    passes.extend((0..others).map(|n| Pass {
        seed: 71_100 + n,
        from_s: 12.0 + 29.0 * n as f32,
        lane: -1,
        away: n % 3 == 0,
        plate_px: if n % 3 == 0 { (90.0, 55.0) } else { (55.0, 90.0) },
        ..Pass::default()
    }));
    let clip = Clip { fps: 10, seconds: minutes * 60.0, seed: 71, passes, ..Clip::default() };
    let film = Film::new(&clip);
    let truth = told::truth_of(&film);
    let count = clip.count();
    if let Some(path) = &asked.picture {
        watchpost::cli::draw::to_rgb(&film.frame(0)).save(path)?;
    }
    // The light falls by a third and comes back, over the whole time, with a lamp that is switched at a third of it.
    let frames = (0..count).map(|n| {
        let along = n as f32 / count as f32;
        let lamp = if (0.33..0.5).contains(&along) { 1.15 } else { 1.0 };
        lit(&film, n, lamp * (1.0 - 0.33 * (std::f32::consts::PI * along).sin()))
    });
    let played = play(frames, models, &settings(asked))?;
    let mut ids = Vec::new();
    for t in &played.told {
        if !ids.contains(&t.id) {
            ids.push(t.id);
        }
    }
    println!("{minutes} minutes, {others} others pass: {} sightings", ids.len());
    for (n, truth) in truth.iter().enumerate() {
        let own = |id: &&watchpost::domain::EventId| {
            played.told.iter().rfind(|t| t.id == **id).is_some_and(|t| t.text.as_deref() == Some(&truth.text))
        };
        let sightings = ids.iter().filter(own).count();
        if n == 0 || sightings != 1 {
            println!("{} {}: {sightings} sightings", if n == 0 { "parked" } else { "passed" }, truth.text);
        }
    }
    for id in &ids {
        let of = || played.told.iter().filter(|t| t.id == *id);
        let last = of().next_back().and_then(|t| t.text.as_deref());
        if asked.verbose || !truth.iter().any(|t| last == Some(t.text.as_str())) {
            let told: Vec<String> = of()
                .map(|t| {
                    format!("{:.1}s {:?} {} {:.2}", t.at_s, t.stage, t.text.as_deref().unwrap_or("-"), t.confidence)
                })
                .collect();
            println!("  {}", told.join(", "));
        }
    }
    let unread = ids.iter().filter(|id| !played.told.iter().any(|t| t.id == **id && t.text.is_some())).count();
    let new = played.told.iter().filter(|t| t.stage == Stage::New).count();
    println!("told as new {new}, in all {}, without a read {unread}", played.told.len());
    println!("{:?}", played.spent);
    Ok(())
}

/// A frame in more or less light.
fn lit(film: &Film, n: usize, by: f32) -> Frame {
    let mut picture = film.picture(n);
    picture.luma.iter_mut().for_each(|v| *v = (f32::from(*v) * by).clamp(16.0, 235.0) as u8);
    let (w, h) = (picture.width, picture.height);
    let format = FrameFormat {
        width: film.clip().size.0,
        height: film.clip().size.1,
        pixels: PixelFormat::I420,
        strides: [w, w / 2, w / 2],
        full_range: false,
    };
    debug_assert_eq!(h, format.height as usize);
    let pts = Duration::from_secs(n as u64) / film.clip().fps.max(1);
    Frame::new(format, TimeMs(0), pts, n as u64, Box::new(picture))
}

/// How much of a minute the gate is open, and whether passes wake it.
fn weather(models: &Models) -> Result<(), Failed> {
    let plain = Settings { motion_gate: true, ..Settings::default() };
    for (name, spoil) in [
        ("still", Spoil::default()),
        ("noise 4", Spoil { noise: 4.0, ..Spoil::default() }),
        ("rain", Spoil { rain: true, ..Spoil::default() }),
        ("rain, noise 4", Spoil { rain: true, noise: 4.0, ..Spoil::default() }),
        ("flicker 0.1", Spoil { flicker: 0.1, ..Spoil::default() }),
        ("flicker 0.2", Spoil { flicker: 0.2, ..Spoil::default() }),
        ("flicker 0.4", Spoil { flicker: 0.4, ..Spoil::default() }),
        ("rain and flicker", Spoil { rain: true, flicker: 0.2, ..Spoil::default() }),
    ] {
        let empty = Clip { seconds: 60.0, seed: 81, spoil: spoil.clone(), ..Clip::default() };
        let file = file_of(&empty, &format!("weather-{}", name.replace([' ', ','], "-")))?;
        let played = play(of_file(&file)?, models, &plain)?;
        let open = played.awake.iter().filter(|a| **a).count() as f32 / played.awake.len().max(1) as f32;
        let after: Vec<bool> = played.awake.iter().skip(250).copied().collect();
        let later = after.iter().filter(|a| **a).count() as f32 / after.len().max(1) as f32;
        let passes: Vec<Pass> = (0..6_u64)
            .map(|n| Pass {
                seed: 81_000 + n,
                from_s: 15.0 + 7.0 * n as f32,
                lane: (n % 3) as i8 - 1,
                away: n % 2 == 1,
                plate_px: if n % 2 == 1 { (90.0, 50.0) } else { (50.0, 90.0) },
                ..Pass::default()
            })
            .collect();
        let busy = Clip { passes, ..empty };
        let file = file_of(&busy, &format!("weather-passes-{}", name.replace([' ', ','], "-")))?;
        let with = play(of_file(&file)?, models, &plain)?;
        let without = play(of_file(&file)?, models, &Settings { motion_gate: false, ..plain.clone() })?;
        let reads = |p: &Played| {
            let ends = p.told.iter().filter(|t| t.stage == Stage::End);
            let mut texts: Vec<String> = ends.filter_map(|t| t.text.clone()).collect();
            texts.sort();
            texts
        };
        let truth = told::truth(&busy);
        let asleep: usize = truth
            .iter()
            .map(|t| {
                t.seen
                    .iter()
                    .filter(|s| s.whole && s.width >= 45.0 && !with.awake.get(s.frame).copied().unwrap_or(true))
                    .count()
            })
            .sum();
        let right = |p: &Played| reads(p).iter().filter(|r| truth.iter().any(|t| t.text == **r)).count();
        println!(
            "{name:18} open {:5.1} % of the minute, {:5.1} % after 10 s; with 6 passes: right {} with the gate, {} without; legible frames rested on {asleep}",
            100.0 * open,
            100.0 * later,
            right(&with),
            right(&without)
        );
    }
    Ok(())
}

/// What is read of clips with labels.
fn real(folder: &Path, models: &Models) -> Result<(), Failed> {
    let labels = std::fs::read_to_string(folder.join("labels.jsonl"))?;
    for line in labels.lines() {
        let label: serde_json::Value = serde_json::from_str(line)?;
        let file = label.get("file").and_then(|f| f.as_str()).ok_or("a label without a file")?;
        let wanted: Vec<&str> = label
            .get("plates")
            .and_then(|p| p.as_array())
            .map(|p| p.iter().filter_map(|p| p.get("text")?.as_str()).collect())
            .unwrap_or_default();
        let plain = Settings { motion_gate: true, ..Settings::default() };
        let played = play(of_file(&folder.join(file))?, models, &plain)?;
        println!("{file}: labelled {wanted:?}, {:?}", played.spent);
        let mut ids = Vec::new();
        for t in &played.told {
            if !ids.contains(&t.id) {
                ids.push(t.id);
            }
        }
        for id in ids {
            let of: Vec<_> = played.told.iter().filter(|t| t.id == id).collect();
            let text = of.iter().rev().find_map(|t| t.text.clone());
            let mark = match &text {
                Some(t) if wanted.iter().any(|w| passes::sightings::same(w, t)) => "labelled",
                Some(_) => "not labelled",
                None => "unread",
            };
            let times: Vec<String> = of.iter().map(|t| format!("{:?} {:.1}", t.stage, t.at_s)).collect();
            println!(
                "  {mark:12} {:10} {:.2} {}",
                text.unwrap_or_default(),
                of.last().map_or(0.0, |t| t.confidence),
                times.join(", ")
            );
        }
    }
    Ok(())
}
