//! Execution providers: what of the inference library runs a model, as configuration and manifests name it.

use std::fmt;
use std::str::FromStr;

/// What runs a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub enum Provider {
    /// The processor: every library has it.
    Cpu,
    /// NVIDIA's cards.
    Cuda,
    /// NVIDIA's cards by TensorRT, which builds the model anew for the card.
    TensorRt,
    /// Intel's processors, graphics and NPUs.
    OpenVino,
    /// AMD's cards.
    MigraphX,
    /// Qualcomm's NPUs.
    Qnn,
    /// Processors by the kernels of XNNPACK.
    Xnnpack,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Cpu, Self::Cuda, Self::TensorRt, Self::OpenVino, Self::MigraphX, Self::Qnn, Self::Xnnpack];

    /// Its name in configuration and manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
            Self::MigraphX => "migraphx",
            Self::Qnn => "qnn",
            Self::Xnnpack => "xnnpack",
        }
    }

    /// The names of several, for people.
    #[must_use]
    pub fn names(of: &[Self]) -> String {
        of.iter().map(|provider| provider.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|provider| provider.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no execution provider; known are {}", Self::names(&Self::ALL)))
    }
}

impl TryFrom<String> for Provider {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
