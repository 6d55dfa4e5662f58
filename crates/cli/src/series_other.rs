//! Patch series, where the host is no Linux: there is no kernel to ask.

use crate::args;
use crate::output::{Failed, Out};

pub(crate) fn series(_: &args::Series, _: &mut Out) -> Result<u8, Failed> {
    Err(Failed::Unusable("the host is no Linux".to_owned()))
}
