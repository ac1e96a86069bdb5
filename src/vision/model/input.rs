//! What goes into a model: the picture's size, layout, type and normalisation.

use serde::Deserialize;

/// Longest side that a model's input may have, in pixels.
const MAX_SIDE: u32 = 4096;

/// Smallest unit of the sides of a graph that looks at parts: smaller ones would make more of a picture's places than of the picture.
const LEAST_UNIT: u32 = 32;

/// What the channels of the input are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// Luma, one channel.
    Grey,
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// Order of the dimensions of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Picture, channel, row, column.
    Nchw,
    /// Picture, row, column, channel.
    Nhwc,
}

/// What a value of the input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A 32-bit float, normalised.
    #[default]
    F32,
    /// A byte, the pixel itself: the graph normalises.
    U8,
}

/// How a picture is brought to the input's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// Same shape, centred, the rest padded.
    Letterbox,
    /// Same shape, at the top left, the rest padded (as YOLOX is trained).
    LetterboxTopLeft,
    /// Each side on its own.
    Stretch,
}

/// One number for all channels, or one a channel.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum PerChannel {
    /// The same for all.
    All(f32),
    /// In the order of the channels.
    Each(Vec<f32>),
}

impl PerChannel {
    /// The value of `channel`.
    #[must_use]
    pub fn of(&self, channel: usize) -> f32 {
        match self {
            Self::All(v) => *v,
            Self::Each(v) => v.get(channel).copied().unwrap_or_default(),
        }
    }

    fn fits(&self, channels: u32, good: fn(f32) -> bool) -> bool {
        match self {
            Self::All(v) => good(*v),
            Self::Each(v) => v.len() == channels as usize && v.iter().all(|v| good(*v)),
        }
    }
}

/// The input: a tensor value is `(pixel * scale - mean) / std` of pixels 0..255, full range.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Name of the tensor.
    pub name: String,
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// 1 (grey) or 3.
    pub channels: u32,
    /// Order of the dimensions.
    pub layout: Layout,
    /// What a value is.
    #[serde(default, rename = "type")]
    pub kind: Kind,
    /// What the channels are.
    pub colour: Colour,
    /// What a pixel of 0..255 is multiplied by; 1/255 by default.
    #[serde(default = "default_scale")]
    pub scale: f32,
    /// Taken away after scaling; 0 by default.
    #[serde(default = "default_mean")]
    pub mean: PerChannel,
    /// Divided by in the end; 1 by default.
    #[serde(default = "default_std")]
    pub std: PerChannel,
    /// How the picture is brought to `size`.
    #[serde(default = "default_fit")]
    pub fit: Fit,
    /// Value of the tensor (not of a pixel) where the picture does not reach; 0.5 by default.
    #[serde(default = "default_pad")]
    pub pad: f32,
    /// Width and height of blocks of pixels that are channels (space to depth), `[1, 1]` by default: a block's rows one after the
    /// other, then those of the block to its right. For grey bytes whose channels come last.
    #[serde(default = "default_fold")]
    pub fold: [u32; 2],
    /// The graph takes smaller inputs as well, whose sides are multiples of this many pixels: parts of a picture are looked at
    /// without the rest. None by default: `size` alone.
    #[serde(default)]
    pub unit: Option<u32>,
    /// Name of a second input, `[1, 2]` of 64-bit integers, that is given width and height of the first.
    #[serde(default)]
    pub size_tensor: Option<String>,
}

impl Input {
    /// The tensor's shape with `pictures` of it.
    #[must_use]
    pub fn shape(&self, pictures: i64) -> [i64; 4] {
        self.shape_of(self.size, pictures)
    }

    /// The same of pictures of another size.
    #[must_use]
    pub fn shape_of(&self, size: [u32; 2], pictures: i64) -> [i64; 4] {
        let ([width, height], channels) = (size.map(i64::from), i64::from(self.channels));
        let [wide, high] = self.fold.map(|f| i64::from(f.max(1)));
        let (width, height, channels) = (width / wide, height / high, channels * wide * high);
        match self.layout {
            Layout::Nchw => [pictures, channels, height, width],
            Layout::Nhwc => [pictures, height, width, channels],
        }
    }

    /// Hands every fault to `check`.
    pub(super) fn faults(&self, unit: u32, check: &mut impl FnMut(bool, String)) {
        let size = self.size.iter().all(|s| (4..=MAX_SIDE).contains(s));
        check(size, format!("input.size = {:?}: both must be within 4 and {MAX_SIDE}", self.size));
        let whole = self.size.iter().all(|s| s % unit.max(1) == 0);
        check(whole, format!("input.size = {:?}: must be multiples of {unit}", self.size));
        let channels = if self.colour == Colour::Grey { 1 } else { 3 };
        let agree = self.channels == channels;
        check(agree, format!("input.channels = {}: colour {:?} has {channels}", self.channels, self.colour));
        check(self.scale.is_finite() && self.scale > 0.0, format!("input.scale = {}: must be above 0", self.scale));
        let mean = self.mean.fits(self.channels, f32::is_finite);
        check(mean, format!("input.mean = {:?}: one number, or one a channel", self.mean));
        let std = self.std.fits(self.channels, |v| v.is_finite() && v > 0.0);
        check(std, format!("input.std = {:?}: one number above 0, or one a channel", self.std));
        check(self.pad.is_finite(), "input.pad: must be a finite number".into());
        let [folds, blocks] = [self.fold != [1, 1], self.size.iter().zip(self.fold).all(|(s, f)| f > 0 && s % f == 0)];
        check(blocks, format!("input.fold = {:?}: whole blocks of it must make up input.size", self.fold));
        let foldable = self.colour == Colour::Grey && self.kind == Kind::U8 && self.layout == Layout::Nhwc;
        check(!folds || foldable, "input.fold: only for colour \"grey\", type \"u8\" and layout \"nhwc\"".into());
        let units = self.unit.is_none_or(|unit| {
            (LEAST_UNIT..=MAX_SIDE).contains(&unit)
                && self.size.iter().all(|s| s % unit == 0)
                && self.fold.iter().all(|f| *f > 0 && unit % f == 0)
        });
        check(
            units,
            format!(
                "input.unit = {:?}: must be {LEAST_UNIT} or more and divide input.size, and input.fold must divide it",
                self.unit
            ),
        );
        if self.kind == Kind::U8 {
            #[expect(clippy::float_cmp, reason = "written out as it is in the manifest")]
            let plain = self.scale == 1.0
                && self.mean.fits(self.channels, |v| v == 0.0)
                && self.std.fits(self.channels, |v| v == 1.0)
                && (0.0..=255.0).contains(&self.pad);
            check(
                plain,
                "input.type = \"u8\": bytes go in as they are, so scale = 1.0, no mean or std, pad 0 to 255".into(),
            );
        }
    }
}

/// Values of an input, in memory that is used again: floats (picture, channel, row, column), or bytes in the input's own order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values {
    floats: Vec<f32>,
    /// Empty while they are floats.
    bytes: Vec<u8>,
}

impl Values {
    /// They are floats now: `count` of them, all `value`.
    pub(in crate::vision) fn floats(&mut self, count: usize, value: f32) -> &mut [f32] {
        self.bytes.clear();
        self.floats.clear();
        self.floats.resize(count, value);
        &mut self.floats
    }

    /// They are bytes now: `count` of them, whatever they were before.
    pub(in crate::vision) fn bytes(&mut self, count: usize) -> &mut [u8] {
        self.floats.clear();
        self.bytes.resize(count, 0);
        &mut self.bytes
    }
}

/// What a model is given: values, or those of somebody who has them at hand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fed<'a> {
    /// Picture, channel, row, column.
    Floats(&'a [f32]),
    /// In the order of the input.
    Bytes(&'a [u8]),
}

impl<'a> From<&'a Values> for Fed<'a> {
    fn from(values: &'a Values) -> Self {
        if values.bytes.is_empty() { Self::Floats(&values.floats) } else { Self::Bytes(&values.bytes) }
    }
}

impl<'a> From<&'a Vec<f32>> for Fed<'a> {
    fn from(floats: &'a Vec<f32>) -> Self {
        Self::Floats(floats)
    }
}

fn default_scale() -> f32 {
    1.0 / 255.0
}
fn default_mean() -> PerChannel {
    PerChannel::All(0.0)
}
fn default_std() -> PerChannel {
    PerChannel::All(1.0)
}
fn default_fit() -> Fit {
    Fit::Letterbox
}
fn default_fold() -> [u32; 2] {
    [1, 1]
}
fn default_pad() -> f32 {
    0.5
}
