//! Why a file is not taken for a model, by name, with what to do about it.

/// A reason to refuse a file before anything is made of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No bytes.
    #[error("the file is empty: copy it again")]
    Empty,
    /// A pointer that Git LFS puts where the file should be.
    #[error("it is a Git LFS pointer and not the file itself: fetch it with `git lfs pull`")]
    LfsPointer,
    /// Text of another kind.
    #[error("it is a text that begins with {start:?}, no ONNX model: fetch the file itself")]
    Text {
        /// Its first characters.
        start: String,
    },
    /// Another format.
    #[error("it is {what}, no ONNX model: export it to ONNX")]
    Foreign {
        /// What it is.
        what: &'static str,
    },
    /// Not what protobuf writes.
    #[error("it is cut off or damaged at byte {at}: {reason}; copy or export it again")]
    Damaged {
        /// Offset in the file, as far as it is known.
        at: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// No graph in it.
    #[error("it holds no graph, so it is no ONNX model: export it again")]
    NoGraph,
    /// Something that may be there once is there twice.
    #[error("it holds {what} twice, which no exporter writes: export it again")]
    Twice {
        /// What.
        what: &'static str,
    },
    /// Weights in another file.
    #[error(
        "tensor {tensor:?} keeps its values in another file ({file:?}), which no digest covers: export the model as one \
         file"
    )]
    External {
        /// The tensor.
        tensor: String,
        /// Where it says they are.
        file: String,
    },
    /// A sparse tensor.
    #[error("tensor {tensor:?} is sparse, which is not taken: export it dense")]
    Sparse {
        /// The tensor.
        tensor: String,
    },
    /// Sizes that are negative, too many, or multiply to more than any memory.
    #[error("tensor {tensor:?} has the sizes {dims:?}, which no tensor can have: export the model again")]
    Sizes {
        /// The tensor.
        tensor: String,
        /// Its sizes, the first few.
        dims: Vec<i64>,
    },
    /// More values claimed than there are.
    #[error(
        "tensor {tensor:?} of sizes {dims:?} claims {claimed} values and the file holds {held} of them: it is damaged or \
         made up; export it again"
    )]
    Claims {
        /// The tensor.
        tensor: String,
        /// Its sizes.
        dims: Vec<i64>,
        /// Their product.
        claimed: u64,
        /// How many values are there.
        held: u64,
    },
    /// An operator that the inference library does not bring.
    #[error(
        "node {node:?} is of {domain:?}, operator {op:?}: custom operators are not run; export it with those of ONNX alone"
    )]
    Operator {
        /// The node.
        node: String,
        /// Its domain.
        domain: String,
        /// Its operator.
        op: String,
    },
    /// Functions of its own.
    #[error("it defines function {name:?} of its own, which is not taken: inline its functions when exporting")]
    Function {
        /// The function.
        name: String,
    },
    /// Graphs within graphs within graphs.
    #[error("its graphs are nested deeper than {most}, which is not taken")]
    Deep {
        /// How deep they may be.
        most: usize,
    },
    /// More parts than any model that is meant for this program has.
    #[error("it has more than {most} {what}, which is not taken")]
    Crowded {
        /// What there is too much of.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// A node that makes a tensor of a size that is written in the file.
    #[error(
        "node {node:?} ({op}) would make a tensor of at least {bytes} bytes, more than the {most} that one may have"
    )]
    Growth {
        /// The node.
        node: String,
        /// Its operator.
        op: String,
        /// The least it needs.
        bytes: u64,
        /// What one tensor may have.
        most: u64,
    },
}
