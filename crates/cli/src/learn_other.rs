//! Learning kernels, where the host is no Linux: there is none to ask.

use crate::args;
use crate::output::{Failed, Out};

pub(crate) fn learn(_: &args::Learn, _: &mut Out) -> Result<u8, Failed> {
    Err(Failed::Unusable("the host is no Linux".to_owned()))
}
