//! The emulated kernel beside an image: what happens within a call is seen there only.

use crate::defaults::Defaults;
use crate::output::Failed;
use crate::verify_real::Emulated;
use crate::{args, machines, progress, verify_real};
use ptelab::Matrix;

/// The machines that options choose, or these defaults, with so much memory. Of a kernel image it is the
/// emulated kernel beside it, built as the image is: what happens within a call is not seen from outside.
pub(crate) fn seen_within(args: &args::Machines, defaults: &Defaults, memory: u64) -> Result<Matrix, Failed> {
    let matrix = if args.images_only() {
        Matrix::none()
    } else {
        args.without_images().matrix(defaults.ports, &defaults.kernels())?
    };
    check_switches(args, &matrix)?;
    let mut matrix = matrix.memory(memory);
    for image in args.images() {
        let guest = args.guest();
        let Emulated { port, release, builder, rules, note } = verify_real::beside(&image, &guest)?;
        progress::warn(&format!(
            "{}: Linux {release} of {port}; what happens within calls is taken from the nearest emulated kernel, with the rules of {}",
            image.display(),
            rules.name
        ));
        note.as_deref().map(progress::warn);
        matrix = matrix.and(port, rules, builder.memory(memory));
    }
    Ok(matrix)
}

/// Whether every switch of a CPU is of one of these machines' ports, or of an image's.
pub(crate) fn check_switches(args: &args::Machines, matrix: &Matrix) -> Result<(), Failed> {
    let switches = args.switches();
    if switches.is_empty() {
        return Ok(());
    }
    let mut ports = if args.images_only() { Vec::new() } else { matrix.port_list() };
    let guest = args.guest();
    for image in args.images() {
        ports.push(verify_real::port_of(&image, &guest)?);
    }
    machines::check_switches(switches, &ports)
}
