//! `ptelab kernels`

use crate::args;
use crate::exit::FINE;
use crate::machines::named;
use crate::output::{Failed, Out};
use ptelab::kernels;

pub(crate) fn kernels(args: &args::Kernels, out: &mut Out) -> Result<u8, Failed> {
    let rules = args.kernels.iter().map(|name| named(name)).collect::<Result<Vec<_>, _>>()?;
    out.text(match rules.as_slice() {
        [] => kernels::changes_text(),
        [one] => kernels::kernel_text(one),
        [from, .., to] => kernels::differences_text(from, to),
    })?;
    Ok(FINE)
}
