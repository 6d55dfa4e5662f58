//! Real kernels, where the host is no Linux: there is none to ask.

use crate::args;
use crate::output::{Failed, Out};
use std::path::Path;

fn no_linux() -> Failed {
    Failed::Unusable("the host is no Linux".to_owned())
}

pub(crate) fn host(_: &args::Verify, _: &mut Out) -> Result<u8, Failed> {
    Err(no_linux())
}

pub(crate) fn qemu(_: &args::Verify, _: &Path, _: &mut Out) -> Result<u8, Failed> {
    Err(no_linux())
}

pub(crate) fn play() -> Result<u8, Failed> {
    Err(no_linux())
}

pub(crate) fn keep() -> Result<u8, Failed> {
    Err(no_linux())
}
