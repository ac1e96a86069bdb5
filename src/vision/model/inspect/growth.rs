//! Nodes that would make a tensor of a size that stands in the file: a few bytes that ask for all memory.
//!
//! Found are sizes that are written as constants or attributes: shapes, repeats, scales, pads, ranges, windows, crops; each
//! times what is known of the input that it enlarges (its sizes, when it is a constant too; one element otherwise). Not found
//! are sizes that a graph computes: from the picture's own shape, by multiplying, or by an outer product of two small tensors.
//! While the model runs, the arena's limit (`model/arena.rs`) stops those. What is computed of constants alone, the library
//! computes while it loads the model, outside of the arena: there, as for loops without an end, only a limit on the
//! process's memory and its watchdog help.

use std::collections::BTreeMap;

use super::Refusal;

/// Bytes that one tensor may have.
pub(super) const MAX_TENSOR_BYTES: u64 = 1 << 30;

/// A node of an operator that can make much of little.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Its name, or that of its first output.
    pub(super) name: String,
    /// Its operator.
    pub(super) op: String,
    /// Names of its inputs, the first few.
    pub(super) inputs: Vec<String>,
    /// Attributes that are numbers, by name.
    pub(super) numbers: BTreeMap<String, Vec<f64>>,
    /// Bits of the value that it fills its output with, 0 when it has none.
    pub(super) bits: u64,
}

/// A tensor that stands in the file.
#[derive(Debug, Default)]
pub(super) struct Constant {
    /// Its values, when it is short.
    pub(super) values: Vec<f64>,
    /// Its sizes.
    pub(super) dims: Vec<f64>,
    /// Bits of one value, 0 when its type is not known.
    pub(super) bits: u64,
}

impl Constant {
    fn count(&self) -> f64 {
        self.dims.iter().product()
    }

    fn size(&self, axis: usize) -> f64 {
        self.dims.get(axis).copied().unwrap_or(1.0)
    }

    fn longest(&self) -> f64 {
        self.dims.iter().copied().fold(1.0, f64::max)
    }
}

/// Constants by name. Graphs beside each other may use a name twice: all of its values count.
pub(super) type Constants = BTreeMap<String, Vec<Constant>>;

/// Attributes that say how large an output is.
pub(super) const SIZES: [&str; 14] = [
    "pads",
    "scales",
    "height_scale",
    "width_scale",
    "shape",
    "output_shape",
    "output_padding",
    "output_height",
    "output_width",
    "pooled_shape",
    "kernel_shape",
    "strides",
    "sample_size",
    "axes",
];

/// Whether nodes of `op` are to be looked at.
pub(super) fn may_grow(op: &str) -> bool {
    const SHAPED: [&str; 11] = [
        "ConstantOfShape",
        "Expand",
        "Tile",
        "Resize",
        "Upsample",
        "Pad",
        "CenterCropPad",
        "Range",
        "OneHot",
        "AffineGrid",
        "Col2Im",
    ];
    const MADE: [&str; 9] = [
        "RandomNormal",
        "RandomUniform",
        "Multinomial",
        "HannWindow",
        "HammingWindow",
        "BlackmanWindow",
        "MelWeightMatrix",
        "DFT",
        "STFT",
    ];
    const POOLED: [&str; 14] = [
        "Conv",
        "ConvInteger",
        "QLinearConv",
        "FusedConv",
        "ConvTranspose",
        "MaxPool",
        "AveragePool",
        "LpPool",
        "MaxpoolWithMask",
        "QLinearAveragePool",
        "MaxUnpool",
        "RoiAlign",
        "MaxRoiPool",
        "CropAndResize",
    ];
    [&SHAPED[..], &MADE, &POOLED].iter().any(|ops| ops.contains(&op))
}

/// Refuses `node` when what is written in the file makes its output too large.
///
/// # Errors
/// [`Refusal::Growth`].
pub(super) fn check(node: &Node, constants: &Constants) -> Result<(), Refusal> {
    let known = Known { node, constants };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, never negative")]
    let bytes = (known.elements().max(1.0) * known.width()) as u64;
    if bytes > MAX_TENSOR_BYTES {
        let (node, op) = (node.name.clone(), node.op.clone());
        return Err(Refusal::Growth { node, op, bytes, most: MAX_TENSOR_BYTES });
    }
    Ok(())
}

/// A node with what is known of its inputs.
struct Known<'a> {
    node: &'a Node,
    constants: &'a Constants,
}

impl Known<'_> {
    /// What input `at` may be.
    fn input(&self, at: usize) -> impl Iterator<Item = &Constant> {
        self.node.inputs.get(at).and_then(|name| self.constants.get(name)).into_iter().flatten()
    }

    /// The most that `of` says of input `at`, at least 1.
    fn most(&self, at: usize, of: impl Fn(&Constant) -> f64) -> f64 {
        self.input(at).map(of).fold(1.0, f64::max)
    }

    /// Product of the values of input `at`.
    fn values(&self, at: usize) -> f64 {
        self.most(at, |c| product(&c.values))
    }

    /// Elements of input `at`.
    fn count(&self, at: usize) -> f64 {
        self.most(at, Constant::count)
    }

    fn attribute(&self, name: &str) -> &[f64] {
        self.node.numbers.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// The most that `of` makes of the sizes of input 0 and the values of input `at`; of no sizes where they are not known.
    fn shaped(&self, at: usize, of: impl Fn(&[f64], &[f64]) -> f64) -> f64 {
        let one = |values: &Constant| self.most(0, |x| of(&x.dims, &values.values)).max(of(&[], &values.values));
        self.input(at).map(one).fold(1.0, f64::max)
    }

    /// Bytes of one element of the output.
    fn width(&self) -> f64 {
        let at = match self.node.op.as_str() {
            "Tile" | "Expand" | "Resize" | "Upsample" | "Pad" | "CenterCropPad" | "Range" => 0,
            "OneHot" => 2,
            _ => usize::MAX,
        };
        let bits = self.input(at).map(|c| c.bits).fold(self.node.bits, u64::max);
        // Floats, mostly.
        if bits == 0 { 4.0 } else { f64::from(u16::try_from(bits).unwrap_or(u16::MAX)) / 8.0 }
    }

    /// The least number of elements that its output has.
    fn elements(&self) -> f64 {
        let axes = self.attribute("axes");
        match self.node.op.as_str() {
            "ConstantOfShape" | "HannWindow" | "HammingWindow" | "BlackmanWindow" => self.values(0),
            "Expand" => self.shaped(1, broadcast),
            "Tile" | "OneHot" => self.count(0) * self.values(1),
            // Input 1 is scales in an old one and a region in a new one.
            "Resize" => {
                let scaled = self.count(0) * self.values(1).max(self.values(2));
                scaled.max(self.shaped(3, |dims, sizes| replaced(dims, sizes, axes)))
            }
            "CenterCropPad" => self.shaped(1, |dims, sizes| replaced(dims, sizes, axes)),
            "Upsample" => {
                let old = product(self.attribute("height_scale")) * product(self.attribute("width_scale"));
                self.count(0) * self.values(1).max(product(self.attribute("scales"))).max(old)
            }
            "Pad" => {
                let axes: Vec<f64> = self.input(3).flat_map(|c| &c.values).copied().collect();
                let written = self.attribute("pads");
                let old = self.most(0, |x| padded(&x.dims, written, &[])).max(padded(&[], written, &[]));
                self.shaped(1, |dims, pads| padded(dims, pads, &axes)).max(old)
            }
            "Range" => self.steps(),
            "MelWeightMatrix" => self.values(0) * (self.values(1) / 2.0 + 1.0),
            "AffineGrid" => self.most(1, |size| product(&size.values) / size.values.get(1).map_or(1.0, |c| c.max(1.0))),
            "Col2Im" => self.values(1) * (self.most(0, |x| x.size(0) * x.size(1)) / self.values(2)).max(1.0),
            "DFT" => self.values(1) * self.most(0, |x| x.count() / x.longest()),
            "STFT" => self.windows(),
            "RandomNormal" | "RandomUniform" => product(self.attribute("shape")),
            "Multinomial" => product(self.attribute("sample_size")) * self.most(0, |x| x.size(0)),
            "MaxUnpool" => self.values(2).max(self.unpooled()),
            "RoiAlign" => {
                product(self.attribute("output_height")) * product(self.attribute("output_width")) * self.regions()
            }
            "MaxRoiPool" => product(self.attribute("pooled_shape")) * self.regions(),
            "CropAndResize" => self.values(3) * self.regions(),
            "ConvTranspose" => {
                let sizes = ["output_shape", "output_padding", "strides"].map(|name| product(self.attribute(name)));
                sizes.into_iter().fold(1.0, f64::max) * self.most(1, |weights| weights.size(1))
            }
            "Conv" | "FusedConv" | "ConvInteger" => {
                padded(&[], self.attribute("pads"), &[]) * self.most(1, |weights| weights.size(0))
            }
            _ => padded(&[], self.attribute("pads"), &[]),
        }
    }

    /// How many numbers a range has; what is not known of its ends is taken for 0.
    fn steps(&self) -> f64 {
        let ends = |at: usize| {
            let first = self.input(at).filter_map(|c| c.values.first().copied());
            first.fold(None, |ends: Option<(f64, f64)>, v| Some(ends.map_or((v, v), |(a, b)| (a.min(v), b.max(v)))))
        };
        let (start, limit) = (ends(0).unwrap_or_default(), ends(1).unwrap_or_default());
        let span = (limit.1 - start.0).abs().max((limit.0 - start.1).abs());
        let step = self.input(2).filter_map(|c| c.values.first()).map(|d| d.abs()).fold(f64::INFINITY, f64::min);
        span / if step > 0.0 && step.is_finite() { step } else { 1.0 }
    }

    /// Elements of a short-time transform: its windows, each of half its length and one, of complex numbers.
    fn windows(&self) -> f64 {
        let length = self.values(3).max(self.count(2));
        let step =
            self.input(1).filter_map(|c| c.values.first()).copied().filter(|s| *s >= 1.0).fold(f64::INFINITY, f64::min);
        let windows = ((self.most(0, Constant::longest) - length) / step + 1.0).max(1.0);
        windows * (length / 2.0 + 1.0) * 2.0
    }

    /// Regions that are cut out, times the channels of each.
    fn regions(&self) -> f64 {
        self.most(1, |regions| regions.size(0)) * self.most(0, |x| x.size(1))
    }

    /// Elements of a pooling undone: by its strides and kernel, of one element an axis where no more is known.
    fn unpooled(&self) -> f64 {
        let strides = self.attribute("strides");
        let of = |x: &Constant| -> f64 {
            let axis =
                |(i, kernel): (usize, &f64)| (x.size(i + 2) - 1.0) * strides.get(i).unwrap_or(&1.0) + kernel.max(1.0);
            let across: f64 = self.attribute("kernel_shape").iter().enumerate().map(axis).product();
            across * x.size(0) * x.size(1)
        };
        self.most(0, of).max(of(&Constant::default()))
    }
}

/// Product of sizes; those of 0 or less (`as it is`, `as the rest`) count as 1.
fn product(sizes: &[f64]) -> f64 {
    sizes.iter().filter(|s| **s > 0.0).product()
}

/// Elements of what has the sizes `dims` and `shape` broadcast together: aligned at their ends, the larger of each pair.
fn broadcast(dims: &[f64], shape: &[f64]) -> f64 {
    let at = |sizes: &[f64], back: usize| sizes.iter().rev().nth(back).copied().unwrap_or(1.0).max(1.0);
    (0..dims.len().max(shape.len())).map(|back| at(dims, back).max(at(shape, back))).product()
}

/// Which of `rank` axes is meant by entry `at` of `axes`; without axes, the entry itself.
fn axis(axes: &[f64], at: usize, rank: usize) -> Option<usize> {
    if axes.is_empty() {
        return Some(at);
    }
    (0..rank).find(|i| {
        let (i, rank) =
            (f64::from(u32::try_from(*i).unwrap_or(u32::MAX)), f64::from(u32::try_from(rank).unwrap_or(u32::MAX)));
        axes.get(at).is_some_and(|a| (a - i).abs() < 0.5 || (a + rank - i).abs() < 0.5)
    })
}

/// Elements of what has the sizes `dims`, of which those of `axes` (all without) are replaced by `sizes`.
fn replaced(dims: &[f64], sizes: &[f64], axes: &[f64]) -> f64 {
    let mut dims: Vec<f64> = dims.iter().map(|d| d.max(1.0)).collect();
    let mut new = 1.0;
    for (at, size) in sizes.iter().enumerate() {
        new *= size.max(1.0);
        if let Some(old) = axis(axes, at, dims.len()).and_then(|axis| dims.get_mut(axis)) {
            *old = 1.0;
        }
    }
    new * dims.iter().product::<f64>()
}

/// Elements of what has the sizes `dims` with `pads` at the axes `axes` (all without): the first half of the pads goes
/// before, the second after. Sizes that are not known count as nothing beside their pads.
fn padded(dims: &[f64], pads: &[f64], axes: &[f64]) -> f64 {
    let (before, after) = pads.split_at(pads.len() / 2);
    let mut dims = dims.to_vec();
    let mut beyond = 1.0;
    for (at, (a, b)) in before.iter().zip(after).enumerate() {
        let more = a.max(0.0) + b.max(0.0);
        match axis(axes, at, dims.len()).and_then(|axis| dims.get_mut(axis)) {
            Some(size) => *size += more,
            None => beyond *= more.max(1.0),
        }
    }
    beyond * dims.iter().map(|d| d.max(1.0)).product::<f64>()
}
