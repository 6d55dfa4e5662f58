//! Random programs on real kernels, where the host is no Linux: there is none to ask.

use crate::args;
use crate::output::{Failed, Out};
use std::path::Path;

pub(crate) fn fuzz(_: &args::Fuzz, _: &Path, _: &mut Out) -> Result<u8, Failed> {
    Err(Failed::Unusable("the host is no Linux".to_owned()))
}
