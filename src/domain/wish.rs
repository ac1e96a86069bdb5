//! What is asked of a source in its address: `?width=1280&height=720&fps=10&format=mjpeg`.
//!
//! For sources that offer a choice: devices, test patterns, folders. Numbers are bounded where they are read; a key or
//! a value that is not known is an error with the ones that are.

use super::frame::{MAX_SIDES, fits};

/// Frames a second that can be asked for, least and most, in thousandths.
const FPS_MILLI: std::ops::RangeInclusive<u32> = 100..=120_000;

/// How a device is to code its pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Each picture a JPEG: less on the cable, so more frames of a large size.
    Mjpeg,
    /// Plain pixels (YUY2, NV12 …): nothing to decode.
    Raw,
}

/// What the query of an address asks for; what it leaves out is the source's choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wish {
    /// Pixels across.
    pub width: Option<u32>,
    /// Pixels down.
    pub height: Option<u32>,
    /// Frames a second, in thousandths.
    pub fps_milli: Option<u32>,
    /// For devices.
    pub coding: Option<Coding>,
}

impl Wish {
    /// Reads `key=value&…`, of which only `known` keys may be used.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(query: &str, known: &[&str]) -> Result<Self, String> {
        let mut wish = Self::default();
        for part in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if !known.contains(&key) {
                return Err(format!("{key:?} is not known after its ?; known are {}", known.join(", ")));
            }
            match key {
                "width" => wish.width = Some(side(key, value)?),
                "height" => wish.height = Some(side(key, value)?),
                "fps" => wish.fps_milli = Some(fps(value)?),
                _ => wish.coding = Some(coding(value)?),
            }
        }
        match (wish.width, wish.height) {
            (Some(width), Some(height)) if !fits(width, height) => {
                Err(format!("{width}×{height} is too large, at most {}×{} are accepted", MAX_SIDES.0, MAX_SIDES.1))
            }
            _ => Ok(wish),
        }
    }
}

fn side(key: &str, value: &str) -> Result<u32, String> {
    let side = value.parse::<u32>().ok().filter(|n| (16..=MAX_SIDES.0).contains(n));
    side.ok_or_else(|| format!("{key}={value} is not a number of pixels from 16 to {}", MAX_SIDES.0))
}

fn fps(value: &str) -> Result<u32, String> {
    let wrong = || format!("fps={value} is not a number from 0.1 to 120 with at most three decimals");
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || part.len() > 3 || !digits(whole) || !digits(part) {
        return Err(wrong());
    }
    // "12.5" → 12500: as text, so that 29.97 is exactly that.
    format!("{whole}{part:0<3}").parse().ok().filter(|milli| FPS_MILLI.contains(milli)).ok_or_else(wrong)
}

fn coding(value: &str) -> Result<Coding, String> {
    match value {
        "mjpeg" => Ok(Coding::Mjpeg),
        "raw" => Ok(Coding::Raw),
        _ => Err(format!("format={value} is not known; known are mjpeg and raw")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_rates_and_codings_are_read_within_their_bounds() {
        let known = ["width", "height", "fps", "format"];
        let wish = Wish::parse("width=1280&height=720&fps=12.5&format=mjpeg", &known).unwrap();
        let want = Wish { width: Some(1280), height: Some(720), fps_milli: Some(12_500), coding: Some(Coding::Mjpeg) };
        assert_eq!(wish, want);
        assert_eq!(Wish::parse("", &known).unwrap(), Wish::default());
        assert_eq!(Wish::parse("fps=0.1", &known).unwrap().fps_milli, Some(100));
        for (query, why) in [
            ("width=0", "16 to 4096"),
            ("width=99999999999", "16 to 4096"),
            ("width=4096&height=4096", "4096×4096 is too large"),
            ("fps=0", "0.1 to 120"),
            ("fps=0.01", "0.1 to 120"),
            ("fps=121", "0.1 to 120"),
            ("fps=-1", "0.1 to 120"),
            ("fps=", "0.1 to 120"),
            ("format=h264", "mjpeg and raw"),
            ("colour=red", "\"colour\" is not known after its ?; known are width, height, fps, format"),
        ] {
            let error = Wish::parse(query, &known).unwrap_err();
            assert!(error.contains(why), "{query}: {error}");
        }
        assert!(Wish::parse("width=640", &["fps"]).is_err());
    }
}
