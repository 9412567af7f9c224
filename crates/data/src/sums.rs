//! `SHA256SUMS`: the digests a dataset's uncompressed files must have.

use crate::{
    DataError,
    source::{Source, text},
};
use std::path::Path;

#[derive(Default)]
pub(crate) struct Sums(Vec<(String, String)>);

impl Sums {
    /// Reads `dir/SHA256SUMS` in the format of `sha256sum`; empty where there is none.
    pub(crate) fn read(dir: &Path) -> Result<Self, DataError> {
        let path = dir.join("SHA256SUMS");
        let Some(text) = text(&path)? else { return Ok(Self::default()) };
        let entry = |(number, line): (usize, &str)| {
            let entry = line.split_at_checked(64).and_then(|(digest, rest)| {
                let name = rest.strip_prefix("  ").or(rest.strip_prefix(" *"))?;
                let good = digest.bytes().all(|b| b.is_ascii_hexdigit()) && !name.is_empty();
                good.then(|| (name.trim_start_matches("./").to_string(), digest.to_ascii_lowercase()))
            });
            entry.ok_or_else(|| DataError::Text {
                path: path.clone(),
                problem: format!("line {} is not `<64 hexadecimal digits>  <file name>`", number + 1),
            })
        };
        text.lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
            .map(entry)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The digest listed for the uncompressed bytes of `file`.
    pub(crate) fn of(&self, file: &Path) -> Option<&str> {
        let name = file.file_name()?.to_str()?;
        let name = canonical(name.strip_suffix(".gz").unwrap_or(name));
        self.0.iter().find(|(listed, _)| canonical(listed) == name).map(|(_, digest)| digest.as_str())
    }

    /// Checks every file listed but `read`, those checked while they were read. A name listed with `.gz` means the
    /// compressed bytes, as `sha256sum` would have it.
    pub(crate) fn check_rest(&self, dir: &Path, read: &[&str]) -> Result<(), DataError> {
        for (name, digest) in self.0.iter().filter(|(name, _)| !read.contains(&canonical(name).as_str())) {
            let plain = dir.join(name);
            let gz = dir.join(format!("{name}.gz"));
            let path = if !plain.exists() && gz.exists() { gz } else { plain };
            let source =
                if name.ends_with(".gz") { Source::raw(&path, digest)? } else { Source::open(&path, Some(digest))? };
            source.digest()?;
        }
        Ok(())
    }
}

/// Some mirrors write `train-images.idx3-ubyte` for `train-images-idx3-ubyte`.
fn canonical(name: &str) -> String {
    name.replace(".idx", "-idx")
}
