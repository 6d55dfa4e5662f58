//! Where the project's files are.

use std::path::{Path, PathBuf};

/// The root of the workspace that cargo was called in: another than this was compiled in, where two share a target directory.
pub(crate) fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.ancestors().nth(2).unwrap_or(Path::new(".")).to_path_buf()
}
