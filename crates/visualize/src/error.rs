use models::{InputError, UnknownLayer};

/// What can't be shown, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The images don't fit the network.
    #[error(transparent)]
    Input(#[from] InputError),
    /// No such layer.
    #[error(transparent)]
    Layer(#[from] UnknownLayer),
    /// A map or a unit that the layer doesn't have.
    #[error("{layer} has {maps} maps of {height}x{width} units, numbered from 0: there is no {what}")]
    Unit {
        /// The layer's name.
        layer: String,
        /// Its maps.
        maps: usize,
        /// Their height.
        height: usize,
        /// Their width.
        width: usize,
        /// What was asked for.
        what: String,
    },
    /// Arguments that contradict the network or each other.
    #[error("{0}")]
    Arguments(String),
    /// Whoever was told how far it had come said to stop.
    #[error("stopped before the end, as asked")]
    Stopped,
}
