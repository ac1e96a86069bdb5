//! Looks a model's bytes over before the inference library sees them: what it asks for, and where it would reach.
//!
//! A model is a program made by somebody else. Refused are: what is no ONNX model, weights in other files (no digest covers
//! them), operators that the library does not bring, sparse tensors and functions of its own, tensors that claim more than
//! the file holds, and constants that make a node's output larger than [`growth::MAX_TENSOR_BYTES`]. Subgraphs are walked
//! too. Each byte is read a few times at most, nothing is copied but names and short lists, nothing panics: a test feeds it
//! mutated files. What only the library can judge (types, ranks, whether the graph is whole) is left to it.
//!
//! Field numbers are those of onnx.proto (onnx/onnx v1.19, `onnx/onnx.proto`).

mod growth;
mod refusal;
mod tensor;
mod wire;

pub use refusal::Refusal;

use growth::{Constant, Constants, Node};
use wire::{Fields, Value};

/// Domains whose operators ONNX Runtime's CPU build brings. The first two are one: ONNX itself.
pub const DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];

/// How deep graphs may be nested (`If` in a `Loop` is two).
const MAX_DEPTH: usize = 8;

/// Most nodes, in all graphs together.
const MAX_NODES: usize = 100_000;

/// Most tensors, in all graphs together.
const MAX_TENSORS: usize = 100_000;

/// Most constants of one name: graphs beside each other may share names, and each is weighed at each node that takes it.
const MAX_NAMESAKES: usize = 32;

/// Inputs that are kept of a node, and numbers of an attribute.
const KEPT: (usize, usize) = (4, 32);

/// What a file is that is no ONNX model, by its first bytes.
///
/// # Errors
/// [`Refusal`] when it is empty, a Git LFS pointer, a text or a known other format.
pub fn recognise(bytes: &[u8]) -> Result<(), Refusal> {
    const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";
    // The library takes its own format for a model too, and that would not be looked over.
    const OTHERS: [(usize, &[u8], &str); 7] = [
        (4, b"ORTM", "a model in ONNX Runtime's own format"),
        (4, b"TFL3", "a TensorFlow Lite model"),
        (0, b"PK\x03\x04", "a zip archive (a PyTorch checkpoint is one)"),
        (0, b"\x1f\x8b", "compressed with gzip"),
        (0, b"\x89HDF", "an HDF5 file (Keras writes such)"),
        (0, b"\x80\x02", "a Python pickle"),
        (0, b"\x7fELF", "a program or library"),
    ];
    if bytes.is_empty() {
        return Err(Refusal::Empty);
    }
    if bytes.starts_with(LFS) {
        return Err(Refusal::LfsPointer);
    }
    if let Some((_, _, what)) =
        OTHERS.iter().find(|(at, magic, _)| bytes.get(*at..).is_some_and(|b| b.starts_with(magic)))
    {
        return Err(Refusal::Foreign { what });
    }
    let start = bytes.get(..64).unwrap_or(bytes);
    // A model begins with the number of its format: byte 8, a control character that no text has.
    if start.iter().all(|b| b.is_ascii_graphic() || matches!(b, b' ' | b'\n' | b'\r' | b'\t')) {
        let start = String::from_utf8_lossy(start.get(..24).unwrap_or(start)).into_owned();
        return Err(Refusal::Text { start });
    }
    Ok(())
}

/// Looks over the bytes of a model.
///
/// # Errors
/// [`Refusal`]: the first reason found.
pub fn inspect(bytes: &[u8]) -> Result<(), Refusal> {
    recognise(bytes)?;
    let mut walk = Walk::default();
    let mut fields = Fields::new(bytes);
    let mut graphs = 0;
    while let Some((number, value)) = fields.next()? {
        match number {
            7 => {
                graphs += 1;
                walk.graph(value.message()?, 1)?;
            }
            20 => walk.training(value.message()?)?,
            25 => return Err(function(value.message()?)?),
            _ => {}
        }
    }
    match graphs {
        0 => Err(Refusal::NoGraph),
        1 => walk.nodes.iter().try_for_each(|node| growth::check(node, &walk.constants)),
        _ => Err(Refusal::Twice { what: "a graph" }),
    }
}

fn function(mut fields: Fields<'_>) -> Result<Refusal, Refusal> {
    let mut name = String::new();
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            name = value.text()?;
        }
    }
    Ok(Refusal::Function { name })
}

/// What was met so far.
#[derive(Debug, Default)]
struct Walk {
    constants: Constants,
    /// Those that can make much of little.
    nodes: Vec<Node>,
    node_count: usize,
    tensor_count: usize,
}

impl Walk {
    /// `TrainingInfoProto`: two graphs, which are looked over although nothing runs them.
    fn training(&mut self, mut fields: Fields<'_>) -> Result<(), Refusal> {
        while let Some((number, value)) = fields.next()? {
            if matches!(number, 1 | 2) {
                self.graph(value.message()?, 1)?;
            }
        }
        Ok(())
    }

    /// `GraphProto`.
    fn graph(&mut self, mut fields: Fields<'_>, depth: usize) -> Result<(), Refusal> {
        if depth > MAX_DEPTH {
            return Err(Refusal::Deep { most: MAX_DEPTH });
        }
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => self.node(value.message()?, depth)?,
                5 => {
                    let (name, values) = self.tensor(value.message()?)?;
                    self.keep(name, values)?;
                }
                15 => return Err(sparse(value.message()?)?),
                _ => {}
            }
        }
        Ok(())
    }

    fn tensor(&mut self, fields: Fields<'_>) -> Result<(String, Constant), Refusal> {
        self.tensor_count += 1;
        if self.tensor_count > MAX_TENSORS {
            return Err(Refusal::Crowded { what: "tensors", most: MAX_TENSORS });
        }
        tensor::check(fields)
    }

    fn keep(&mut self, name: String, constant: Constant) -> Result<(), Refusal> {
        let namesakes = self.constants.entry(name).or_default();
        if namesakes.len() >= MAX_NAMESAKES {
            return Err(Refusal::Crowded { what: "constants of one name", most: MAX_NAMESAKES });
        }
        namesakes.push(constant);
        Ok(())
    }

    /// `NodeProto`.
    fn node(&mut self, mut fields: Fields<'_>, depth: usize) -> Result<(), Refusal> {
        self.node_count += 1;
        if self.node_count > MAX_NODES {
            return Err(Refusal::Crowded { what: "nodes", most: MAX_NODES });
        }
        let (mut node, mut domain, mut output) = (Node::default(), String::new(), String::new());
        let mut constant = Constant::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 if node.inputs.len() < KEPT.0 => node.inputs.push(value.text()?),
                2 if output.is_empty() => output = value.text()?,
                3 => node.name = value.text()?,
                4 => node.op = value.text()?,
                5 => self.attribute(value.message()?, depth, &mut node, &mut constant)?,
                7 => domain = value.text()?,
                _ => {}
            }
        }
        if node.name.is_empty() {
            node.name.clone_from(&output);
        }
        // The context of an accelerator's compiler is a file of its own.
        if !DOMAINS.contains(&domain.as_str()) || node.op == "EPContext" {
            return Err(Refusal::Operator { node: node.name, domain, op: node.op });
        }
        if node.op == "Constant" {
            self.keep(output, constant)?;
        } else if growth::may_grow(&node.op) {
            node.bits = constant.bits;
            self.nodes.push(node);
        }
        Ok(())
    }

    /// `AttributeProto`: its graphs are walked, its tensors checked, its numbers kept by `node`, and what a `Constant` is
    /// goes to `constant`.
    fn attribute(
        &mut self,
        mut fields: Fields<'_>,
        depth: usize,
        node: &mut Node,
        constant: &mut Constant,
    ) -> Result<(), Refusal> {
        let (mut name, mut integers, mut floats) = (String::new(), Vec::new(), Vec::new());
        let (mut tensors, mut graphs, mut count, mut bits) = (0, 0, 0, 0);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => name = value.text()?,
                2 | 7 => {
                    (count, bits) = (count + value.floats(&mut floats, KEPT.1), 32);
                }
                3 | 8 => {
                    (count, bits) = (count + value.integers(&mut integers, KEPT.1)?, 64);
                }
                5 => {
                    tensors += 1;
                    *constant = self.tensor(value.message()?)?.1;
                }
                6 => {
                    graphs += 1;
                    self.graph(value.message()?, depth + 1)?;
                }
                10 => drop(self.tensor(value.message()?)?),
                11 => self.graph(value.message()?, depth + 1)?,
                22 | 23 => return Err(sparse(value.message()?)?),
                _ => {}
            }
        }
        // Parsers merge what is there twice, so that neither half is what will be run.
        if tensors > 1 || graphs > 1 {
            return Err(Refusal::Twice { what: "an attribute's value" });
        }
        #[expect(clippy::cast_precision_loss, reason = "sizes: what is beyond 2^53 is too large either way")]
        let numbers: Vec<f64> = integers.iter().map(|v| *v as f64).chain(floats).collect();
        if growth::SIZES.contains(&name.as_str()) {
            node.numbers.insert(name, numbers);
        } else if name.starts_with("value_") {
            #[expect(clippy::cast_precision_loss, reason = "no more than the file holds")]
            let dims = vec![count as f64];
            *constant = Constant { values: numbers, dims, bits };
        }
        Ok(())
    }
}

/// `SparseTensorProto`: named by the tensor of its values.
fn sparse(mut fields: Fields<'_>) -> Result<Refusal, Refusal> {
    let mut tensor = String::new();
    while let Some((number, value)) = fields.next()? {
        if let (1, Value::Bytes(mut values)) = (number, value) {
            while let Some((number, value)) = values.next()? {
                if number == 8 {
                    tensor = value.text()?;
                }
            }
        }
    }
    Ok(Refusal::Sparse { tensor })
}

#[cfg(test)]
mod tests;
