//! Nodes that would make a tensor of a size that stands in the file: a few bytes that ask for all memory.
//!
//! Found are sizes that are written as constants: shapes, repeats, scales, pads, ranges. Not found are sizes that a graph
//! computes (from the picture's own shape, by multiplying, or by an outer product of two small tensors), and loops without
//! an end: for these only a limit on the process's memory and its watchdog help.

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
}

/// Constants by name. Graphs beside each other may use a name twice: all of its values count.
pub(super) type Constants = BTreeMap<String, Vec<Vec<f64>>>;

/// Attributes that say how large an output is.
pub(super) const SIZES: [&str; 6] = ["pads", "scales", "shape", "output_shape", "output_padding", "strides"];

/// Whether nodes of `op` are to be looked at.
pub(super) fn may_grow(op: &str) -> bool {
    matches!(
        op,
        "ConstantOfShape"
            | "Expand"
            | "Tile"
            | "Resize"
            | "Upsample"
            | "Pad"
            | "Range"
            | "OneHot"
            | "RandomNormal"
            | "RandomUniform"
            | "Conv"
            | "ConvTranspose"
            | "MaxPool"
            | "AveragePool"
    )
}

/// Refuses `node` when what is written in the file makes its output too large.
///
/// # Errors
/// [`Refusal::Growth`].
pub(super) fn check(node: &Node, constants: &Constants) -> Result<(), Refusal> {
    let input = |at: usize| node.inputs.get(at).and_then(|name| constants.get(name)).into_iter().flatten();
    let attribute = |name: &str| node.numbers.get(name).map(Vec::as_slice).unwrap_or_default();
    let mut least = 1.0_f64;
    let mut at_least = |values: f64| least = least.max(values);
    match node.op.as_str() {
        "ConstantOfShape" => input(0).for_each(|shape| at_least(product(shape))),
        "Expand" | "Tile" => input(1).for_each(|shape| at_least(product(shape))),
        "Resize" => input(1).chain(input(2)).chain(input(3)).for_each(|v| at_least(product(v))),
        "Upsample" => {
            input(1).for_each(|v| at_least(product(v)));
            at_least(product(attribute("scales")));
        }
        "Pad" => {
            input(1).for_each(|pads| at_least(padded(pads)));
            at_least(padded(attribute("pads")));
        }
        "OneHot" => input(1).for_each(|depth| at_least(product(depth))),
        "Range" => {
            for (start, limit) in input(0).zip(input(1)) {
                let steps = input(2).filter_map(|d| d.first()).map(|d| d.abs()).fold(f64::INFINITY, f64::min);
                let span = limit.first().unwrap_or(&0.0) - start.first().unwrap_or(&0.0);
                at_least(span.abs() / if steps > 0.0 && steps.is_finite() { steps } else { 1.0 });
            }
        }
        "RandomNormal" | "RandomUniform" => at_least(product(attribute("shape"))),
        "Conv" | "MaxPool" | "AveragePool" => at_least(padded(attribute("pads"))),
        "ConvTranspose" => {
            for name in ["output_shape", "output_padding", "strides"] {
                at_least(product(attribute(name)));
            }
        }
        _ => {}
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, never negative")]
    let bytes = (least * 4.0) as u64;
    if bytes > MAX_TENSOR_BYTES {
        let (node, op) = (node.name.clone(), node.op.clone());
        return Err(Refusal::Growth { node, op, bytes, most: MAX_TENSOR_BYTES });
    }
    Ok(())
}

/// Product of sizes; those of 0 or less (`as it is`, `as the rest`) count as 1.
fn product(sizes: &[f64]) -> f64 {
    sizes.iter().filter(|s| **s > 0.0).product()
}

/// The least size that pads alone make: the first half of them goes before, the second after.
fn padded(pads: &[f64]) -> f64 {
    let (before, after) = pads.split_at(pads.len() / 2);
    before.iter().zip(after).map(|(a, b)| (a.max(0.0) + b.max(0.0)).max(1.0)).product()
}
