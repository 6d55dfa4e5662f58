//! The machines that a command runs on: kernels by name, and warnings about them.

use crate::output::{self, Failed, Out};
use crate::progress;
use ptelab::kernels::{self, NamedKernel};
use ptelab::scenario::Scenario;
use ptelab::{Call, CpuSwitch, KernelRules, Matrix, SelectError, ThpKey, ThpMode};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The kernel of this name. Warns where it has the rules of another.
pub(crate) fn named(name: &str) -> Result<&'static KernelRules, Failed> {
    keep(name);
    let NamedKernel { rules, note } = kernels::kernel(name)?;
    note.as_deref().map(progress::warn);
    Ok(rules)
}

/// The kernel images in a list of kernels.
pub(crate) fn images(names: &str) -> Vec<PathBuf> {
    names.split(',').filter_map(|name| kernels::image(name.trim())).map(Path::to_owned).collect()
}

/// Whether every switch of a CPU is of one of these ports; one of another would switch nothing.
pub(crate) fn check_switches(switches: &[String], ports: &[&str]) -> Result<(), Failed> {
    for switch in switches {
        let CpuSwitch { port, .. } = CpuSwitch::parse(switch)?;
        if !ports.contains(&port.as_str()) {
            let why = format!(
                "--cpu {switch} has no effect: no {port} machine is selected, only {}",
                ports.join(", ")
            );
            return Err(Failed::Unusable(why));
        }
    }
    Ok(())
}

/// Says which features of CPUs were switched, where any was.
pub(crate) fn print_switches(switches: &[CpuSwitch], out: &mut Out) -> Result<(), Failed> {
    if switches.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = switches.iter().map(ToString::to_string).collect();
    Ok(out.line(format!("CPU: {}", names.join(", ")))?)
}

/// An error where one of these options was given, as they are of kernel images.
pub(crate) fn refuse_without_image(options: &[(&str, bool)]) -> Result<(), Failed> {
    let given: Vec<&str> = options.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    if given.is_empty() {
        return Ok(());
    }
    let are = if given.len() == 1 { "is" } else { "are" };
    let why = "for a kernel image, and none is given";
    Err(Failed::Unusable(format!("{} {are} {why}", given.join(", "))))
}

/// The list without them.
pub(crate) fn emulated(names: &str) -> String {
    let rest = names.split(',').filter(|name| kernels::image(name.trim()).is_none());
    rest.collect::<Vec<_>>().join(",")
}

/// The files in a list of kernels are not written to.
pub(crate) fn keep(names: &str) {
    names.split(',').for_each(|name| output::keep(Path::new(name.trim())));
}

/// Machines with these kernels. Warns where one has the rules of another.
pub(crate) fn of(matrix: Matrix, names: &str) -> Result<Matrix, SelectError> {
    keep(names);
    let matrix = matrix.kernels(names)?;
    matrix.notes().iter().for_each(|note| progress::warn(note));
    Ok(matrix)
}

/// Without the ports that lack the page size of the scenario. Warns which ones.
pub(crate) fn for_pages_of(matrix: Matrix, scenario: &Scenario) -> Result<Matrix, SelectError> {
    let matrix = saying(matrix, |matrix| matrix.for_pages_of(scenario))?;
    note_sizes(&matrix, scenario);
    Ok(matrix)
}

/// Those whose pages and huge pages have these sizes, in bytes. Warns which others were chosen.
pub(crate) fn with_pages(matrix: Matrix, [page, huge]: [u64; 2]) -> Result<Matrix, SelectError> {
    saying(matrix, |matrix| matrix.with_pages(page, huge))
}

/// Warns which ports have no huge pages of sizes that a scenario sets, where it does not expect that.
pub(crate) fn note_sizes(matrix: &Matrix, scenario: &Scenario) {
    let sizes = RefCell::new(BTreeSet::new());
    let _ = scenario.step_sum(|line| {
        if let (Call::Thp { size: ThpKey::Kb(kb), .. }, None) = (&line.call, line.expect) {
            sizes.borrow_mut().insert(*kb);
        }
        0
    });
    for kb in sizes.into_inner() {
        note_size(matrix, kb, ", so setting them is ENOENT");
    }
}

/// Warns which ports have no huge pages of sizes that are set for a log.
pub(crate) fn note_log_sizes(matrix: &Matrix, thp: &[(ThpKey, ThpMode)]) {
    for (key, _) in thp {
        if let ThpKey::Kb(kb) = *key {
            note_size(matrix, kb, ", so --thp sets none there");
        }
    }
}

/// Warns which ports have no huge pages of this size, and what follows.
fn note_size(matrix: &Matrix, kb: u64, follows: &str) {
    let lacking = matrix.without_thp(kb);
    if !lacking.is_empty() {
        progress::warn(&format!("{}: no huge pages of {kb}kB{follows}", lacking.join(", ")));
    }
}

fn saying(
    matrix: Matrix,
    choose: impl FnOnce(Matrix) -> Result<Matrix, SelectError>,
) -> Result<Matrix, SelectError> {
    let known = matrix.notes().len();
    let matrix = choose(matrix)?;
    matrix.notes()[known..].iter().for_each(|note| progress::warn(note));
    Ok(matrix)
}

/// The sizes of huge pages that some port has, as messages list them.
pub(crate) fn thp_sizes() -> String {
    ptelab::thp_sizes().iter().map(|kb| format!("{kb}kB")).collect::<Vec<_>>().join(", ")
}

/// Every known kernel, as help texts list them.
pub(crate) fn known() -> String {
    KernelRules::ALL.iter().map(|rules| rules.name).collect::<Vec<_>>().join(", ")
}

/// The kernels that are compared unless told otherwise.
pub(crate) fn compared() -> String {
    kernels::listed(kernels::compared())
}

/// The kernels that random programs run on unless told otherwise. None has a bug that is found at once.
pub(crate) fn usual() -> &'static str {
    static USUAL: LazyLock<String> = LazyLock::new(|| kernels::listed(kernels::usual()));
    &USUAL
}

/// The kernels before and after mprotect changed entries in batches.
pub(crate) fn before_and_after() -> String {
    kernels::listed(kernels::before_and_after())
}

/// The kernel before that and the default one, which tracing and replaying compare.
pub(crate) fn before_and_default() -> String {
    kernels::listed(kernels::before_and_default())
}
