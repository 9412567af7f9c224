use std::{io, path::PathBuf};

/// What went wrong, where, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file that cannot be opened or read.
    #[error("{path}: cannot be read: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file that cannot be written.
    #[error("{path}: cannot be written: {cause}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file named `.gz` that is something else, often an error page saved by a downloader.
    #[error("{path}: is not gzip data (starts with {start}). Download it again.")]
    NotGzip {
        /// The file.
        path: PathBuf,
        /// Its first two bytes in hexadecimal.
        start: String,
    },
    /// Gzip data whose stream or checksum is wrong.
    #[error("{path}: is damaged gzip data: {cause}. Download it again.")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decompressor said.
        cause: io::Error,
    },
    /// An IDX header field with a value that cannot be right.
    #[error("{path}: is not an IDX file of {what}: {problem}. Check which file this is, or download it again.")]
    Header {
        /// The file.
        path: PathBuf,
        /// `images` or `labels`.
        what: &'static str,
        /// The field, its value and the values expected.
        problem: String,
    },
    /// A file in CIFAR's binary layout with a length or an entry that cannot be right.
    #[error("{path}: is not a whole file of CIFAR: {problem}. Download it again.")]
    Cifar {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },
    /// A MATLAB file that cannot be SVHN's.
    #[error("{path}: is not a file of SVHN: {problem}. Check which file this is, or download it again.")]
    Mat {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },
    /// A file shorter than its header says.
    #[error("{path}: is truncated: {found} bytes are there, expected {expected}. Download it again.")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Uncompressed bytes in the file.
        found: u64,
        /// Uncompressed bytes that the header asks for.
        expected: u64,
    },
    /// A file longer than its header says.
    #[error("{path}: has trailing data after the {expected} bytes its header asks for. Download it again.")]
    Oversized {
        /// The file.
        path: PathBuf,
        /// Uncompressed bytes that the header asks for.
        expected: u64,
    },
    /// A label that names no class.
    #[error("{path}: label {index} is {label}, expected less than {classes}. Check `classes.txt` and the file.")]
    Label {
        /// The file.
        path: PathBuf,
        /// Position of the label in the file.
        index: usize,
        /// The label.
        label: u16,
        /// Number of classes.
        classes: usize,
    },
    /// A file whose digest is not the one in `SHA256SUMS`.
    #[error(
        "{path}: SHA-256 of the uncompressed bytes is {found}, but SHA256SUMS says {expected}. Download the file \
         again, or, if you changed it on purpose, correct SHA256SUMS."
    )]
    Digest {
        /// The file.
        path: PathBuf,
        /// The digest of what was read, in hexadecimal.
        found: String,
        /// The digest listed, in hexadecimal.
        expected: String,
    },
    /// A `SHA256SUMS` or `classes.txt` that cannot be understood.
    #[error("{path}: {problem}")]
    Text {
        /// The file.
        path: PathBuf,
        /// The line and what is wrong with it.
        problem: String,
    },
    /// A dataset's file that is not there.
    #[error(
        "{dir}: holds none of {names}. Point `--data-dir` at a directory with IDX files, CIFAR's or SVHN's files, or \
         images in folders, or at CIFAR's archive."
    )]
    Missing {
        /// The directory.
        dir: PathBuf,
        /// The names looked for.
        names: String,
    },
    /// A shipped dataset that is not there.
    #[error("no dataset `{name}`: looked for {looked}. Name its directory with `--data-dir`.")]
    NotShipped {
        /// The name asked for.
        name: String,
        /// The places looked at.
        looked: String,
    },
    /// Files of one dataset that contradict each other.
    #[error("{dir}: {problem}. Are the files of the same dataset?")]
    Disagree {
        /// The directory.
        dir: PathBuf,
        /// The two values.
        problem: String,
    },
    /// An image folder with nothing to learn in it.
    #[error("{dir}: {problem}")]
    Folder {
        /// The directory.
        dir: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A split that would leave nothing to train on.
    #[error("cannot set the last {wanted} images apart: there are {len}. Ask for fewer.")]
    TooFew {
        /// Images to be set apart.
        wanted: usize,
        /// Images there.
        len: usize,
    },
    /// An option, or a description of an input, that cannot be carried out.
    #[error("{0}")]
    Invalid(String),
    /// An image that does not go into the network's input.
    #[error(
        "an image of {} x {} pixels does not fit the input of {} x {} (height x width). Scale it down, or use a \
         network with a larger input.",
        image[0], image[1], input[0], input[1]
    )]
    DoesNotFit {
        /// Height and width of the image in pixels.
        image: [usize; 2],
        /// Height and width of the input in pixels.
        input: [usize; 2],
    },
    /// An image that cannot be made a network's input.
    #[error("{place}: {cause}")]
    Unfit {
        /// Where the image is.
        place: String,
        /// What is wrong with it.
        cause: Box<DataError>,
    },
    /// A photo or drawing that cannot be decoded.
    #[error("{path}: {problem}")]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A photo or drawing without a digit.
    #[error("no ink found: {0}. Use an image where the digit stands out from the paper.")]
    NoInk(String),
    /// A loader thread that ended before its work did.
    #[error("a loader thread stopped: {0}. This is a bug, or the machine is out of threads; try fewer.")]
    Worker(String),
}
