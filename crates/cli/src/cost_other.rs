//! What calls take on real kernels, where the host is no Linux: there is none to ask.

use crate::args;
use crate::output::{Failed, Out};
use std::path::PathBuf;

pub(crate) fn cost(_: &args::Cost, _: &[PathBuf], _: &mut Out) -> Result<u8, Failed> {
    Err(Failed::Unusable("the host is no Linux".to_owned()))
}
