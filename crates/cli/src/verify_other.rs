//! Real kernels, where the host is no Linux: there is none to ask.

use crate::args;
use crate::output::{Failed, Out};
use crate::verify_real::Emulated;
use ptelab::RunReport;
use ptelab::scenario::Scenario;
use std::path::{Path, PathBuf};

fn no_linux() -> Failed {
    Failed::Unusable("the host is no Linux".to_owned())
}

pub(crate) fn host(_: &args::Verify, _: Option<&str>, _: &mut Out) -> Result<u8, Failed> {
    Err(no_linux())
}

pub(crate) fn qemu(_: &args::Verify, _: &Path, _: Option<&str>, _: &mut Out) -> Result<u8, Failed> {
    Err(no_linux())
}

pub(crate) fn play() -> Result<u8, Failed> {
    Err(no_linux())
}

pub(crate) fn keep() -> Result<u8, Failed> {
    Err(no_linux())
}

pub(crate) fn beside(_: &Path, _: &args::Guest) -> Result<Emulated, Failed> {
    Err(no_linux())
}

pub(crate) fn port_of(_: &Path, _: &args::Guest) -> Result<&'static str, Failed> {
    Err(no_linux())
}

pub(crate) fn entry(
    _: &Path,
    _: &args::Guest,
    _: &Scenario,
    _: (u32, u64),
    _: u64,
) -> Result<String, Failed> {
    Err(no_linux())
}

pub(crate) fn reports(_: &[PathBuf], _: &args::Guest, _: &Scenario) -> Result<Vec<RunReport>, Failed> {
    Err(no_linux())
}

pub(crate) fn as_seen(_: RunReport) -> Result<RunReport, Failed> {
    Err(no_linux())
}
