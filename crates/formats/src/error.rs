use models::weights::WeightsError;
use models::{BuildError, UnknownModel};

/// A weight file that can't be read or written. Names no file: whoever opened it knows its name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// None of the formats.
    #[error(
        "is neither safetensors, a PyTorch file, ONNX nor a caffemodel (starts with {start}). \
         Check which file this is, or download it again."
    )]
    Unknown {
        /// The first bytes in hexadecimal.
        start: String,
    },
    /// One of PyTorch's formats from before version 1.6.
    #[error(
        "is a PyTorch file of before version 1.6 ({0}), which can't be read. Save it again in Python: \
         torch.save(torch.load(FILE, weights_only=True), FILE)"
    )]
    Legacy(&'static str),
    /// Cut short, or nonsense inside.
    #[error("is damaged: {what}: {problem}. Download or export it again.")]
    Damaged {
        /// The part: `zip archive`, `protobuf`, ….
        what: &'static str,
        /// What is wrong there.
        problem: String,
    },
    /// Well-formed, but holds what is not carried out: code to run, types that have no place here.
    #[error("{what}: {problem}")]
    Refused {
        /// The part: `pickle`, `ONNX`, ….
        what: &'static str,
        /// What is refused, and what to do.
        problem: String,
    },
    /// A file of another network than the one asked for.
    #[error("is not {model}: {place}: {problem}. Name the right network with --model.")]
    Mismatch {
        /// The network.
        model: String,
        /// The layer or node.
        place: String,
        /// What is there, and what should be.
        problem: String,
    },
    /// A file that doesn't say which network it is for.
    #[error("doesn't say which network it is for. Name it with --model.")]
    NoModel,
    /// Tensors that are not the network's.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A network that can't be built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl From<UnknownModel> for FormatError {
    fn from(error: UnknownModel) -> Self {
        Self::Build(error.into())
    }
}

/// A [`FormatError::Damaged`].
pub(crate) fn damaged(what: &'static str, problem: impl Into<String>) -> FormatError {
    FormatError::Damaged { what, problem: problem.into() }
}

/// A [`FormatError::Refused`].
pub(crate) fn refused(what: &'static str, problem: impl Into<String>) -> FormatError {
    FormatError::Refused { what, problem: problem.into() }
}
