//! Draws clips of passes to look at, and tells how fast: the generator of full pictures that tests and other benches use.
//!
//! `cargo bench --bench street -- --bar N --out FOLDER` writes clips of the bar and a line of truth each
//! (with `--blur`, `--hidden` or `--crf` instead of their own);
//! `--picture FILE.png` with `--at SECONDS` writes one picture instead. For a clip of one's own: `--plate A-B` (width at the
//! begin and the end, pixels), `--lasts S`, `--from S`, `--seconds S`, `--seed N`, `--blur PX`, `--even-blur`, `--hidden SHARE`, `--lane N`,
//! `--region R`, `--away`, `--stands`, `--size WxH`, `--fps N`, `--crf N`, `--key S`, `--h265`, and what is wrong with the
//! camera: `--noise`, `--rain`, `--flicker`, `--dark`, `--bright`, `--defocus`, `--smear`, `--tilt`, `--yaw`, `--cut`,
//! `--frozen`, `--black`, `--moved`, `--defocused` (values as in `Spoil`; times in seconds).

#![allow(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it tells what it drew, by counts of frames"
)]

use std::path::PathBuf;
use std::time::Instant;

use self::passes::street::{Clip, Codec, Film, Pass, bar_passes, coded, smeared_passes, told};

#[allow(dead_code, reason = "other benches use the rest")]
mod passes;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What is asked for.
#[derive(Default)]
struct Asked {
    bar: Option<usize>,
    smeared: bool,
    only: Option<usize>,
    out: Option<PathBuf>,
    picture: Option<PathBuf>,
    at: f32,
    clip: Clip,
    pass: Pass,
    empty: bool,
    /// Blur, share hidden and crf of the passes of the bar, instead of their own.
    instead: (Option<f32>, Option<f32>, Option<u32>),
}

fn main() -> Result<(), Failed> {
    let asked = asked()?;
    let clips = match asked.bar {
        Some(count) => {
            let mut clips = if asked.smeared { smeared_passes(count) } else { bar_passes(count) };
            for clip in &mut clips {
                clip.crf = asked.instead.2.unwrap_or(clip.crf);
                for pass in &mut clip.passes {
                    pass.blur_px = asked.instead.0.unwrap_or(pass.blur_px);
                    pass.hidden = asked.instead.1.unwrap_or(pass.hidden);
                }
            }
            clips
        }
        None if asked.empty => vec![asked.clip.clone()],
        None => vec![Clip { passes: vec![asked.pass.clone()], ..asked.clip.clone() }],
    };
    for (n, clip) in clips.iter().enumerate().filter(|clip| asked.only.is_none_or(|only| only == clip.0)) {
        let film = Film::new(clip);
        for truth in told::truth_of(&film) {
            let wide = |of: fn(f32, f32) -> f32, begin: f32| truth.seen.iter().map(|s| s.width).fold(begin, of);
            println!(
                "{n:03} {} {} seen {:.2} to {:.2} s, {:.0} to {:.0} px, legible from {:?}",
                truth.region,
                truth.text,
                truth.begin_s,
                truth.end_s,
                wide(f32::min, 9e9),
                wide(f32::max, 0.0),
                truth.legible_from_s
            );
        }
        if let Some(path) = &asked.picture {
            save(&film, asked.at, path)?;
        } else if let Some(folder) = &asked.out {
            std::fs::create_dir_all(folder)?;
            coded::encode_film(&film, &folder.join(format!("{n:03}.mp4")))?;
        }
    }
    if asked.out.is_none() && asked.picture.is_none() {
        speed(&clips);
    }
    Ok(())
}

/// Milliseconds a frame.
fn speed(clips: &[Clip]) {
    let begun = Instant::now();
    let films: Vec<Film> = clips.iter().map(Film::new).collect();
    let ready = begun.elapsed() / films.len().max(1) as u32;
    let (begun, mut frames) = (Instant::now(), 0_u32);
    for film in &films {
        for n in 0..film.clip().count() {
            std::hint::black_box(film.picture(n));
            frames += 1;
        }
    }
    println!("{ready:?} to begin, {:?} a frame over {frames} frames", begun.elapsed() / frames.max(1));
}

fn save(film: &Film, at: f32, path: &std::path::Path) -> Result<(), Failed> {
    let n = (at * film.clip().fps as f32) as usize;
    watchpost::cli::draw::to_rgb(&film.frame(n)).save(path)?;
    Ok(())
}

fn asked() -> Result<Asked, Failed> {
    let mut asked = Asked::default();
    let (mut arguments, mut clip, mut pass) = (std::env::args().skip(1), Clip::default(), Pass::default());
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        let spoil = &mut clip.spoil;
        match name.as_str() {
            "--bench" => {} // cargo says it
            "--bar" => asked.bar = Some(value()?.parse()?),
            "--smeared" => (asked.smeared, asked.bar) = (true, Some(value()?.parse()?)),
            "--only" => asked.only = Some(value()?.parse()?),
            "--out" => asked.out = Some(value()?.into()),
            "--picture" => asked.picture = Some(value()?.into()),
            "--at" => asked.at = value()?.parse()?,
            "--empty" => asked.empty = true,
            "--plate" => {
                let value = value()?;
                let (a, b) = value.split_once('-').ok_or("--plate 45-70")?;
                pass.plate_px = (a.parse()?, b.parse()?);
            }
            "--lasts" => pass.lasts_s = value()?.parse()?,
            "--from" => pass.from_s = value()?.parse()?,
            "--blur" => {
                pass.blur_px = value()?.parse()?;
                asked.instead.0 = Some(pass.blur_px);
            }
            "--even-blur" => pass.even_blur = true,
            "--hidden" => {
                pass.hidden = value()?.parse()?;
                asked.instead.1 = Some(pass.hidden);
            }
            "--lane" => pass.lane = value()?.parse()?,
            "--region" => pass.region = Some(value()?.leak()),
            "--away" => pass.away = true,
            "--stands" => pass.stands = true,
            "--seed" => {
                clip.seed = value()?.parse()?;
                pass.seed = clip.seed;
            }
            "--seconds" => clip.seconds = value()?.parse()?,
            "--size" => {
                let value = value()?;
                let (w, h) = value.split_once('x').ok_or("--size 1280x720")?;
                clip.size = (w.parse()?, h.parse()?);
            }
            "--fps" => clip.fps = value()?.parse()?,
            "--crf" => {
                clip.crf = value()?.parse()?;
                asked.instead.2 = Some(clip.crf);
            }
            "--key" => clip.key_every_s = value()?.parse()?,
            "--h265" => clip.codec = Codec::H265,
            "--noise" => spoil.noise = value()?.parse()?,
            "--rain" => spoil.rain = true,
            "--flicker" => spoil.flicker = value()?.parse()?,
            "--dark" => spoil.dark = value()?.parse()?,
            "--bright" => spoil.bright = value()?.parse()?,
            "--defocus" => spoil.defocus_px = value()?.parse()?,
            "--smear" => spoil.smear_px = value()?.parse()?,
            "--tilt" => spoil.tilt_deg = value()?.parse()?,
            "--yaw" => spoil.yaw_deg = value()?.parse()?,
            "--cut" => spoil.cut_at_s = Some(value()?.parse()?),
            "--frozen" => spoil.frozen_at_s = Some(value()?.parse()?),
            "--black" => spoil.black_at_s = Some(value()?.parse()?),
            "--moved" => spoil.moved_at_s = Some(value()?.parse()?),
            "--defocused" => spoil.defocused_at_s = Some(value()?.parse()?),
            other => {
                return Err(format!("{other} is none of what is described at the head of benches/street.rs").into());
            }
        }
    }
    (asked.clip, asked.pass) = (clip, pass);
    Ok(asked)
}
