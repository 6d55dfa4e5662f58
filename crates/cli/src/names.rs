//! Names of ports, kernels and CPU features, as help texts list them and shells complete them.

use crate::machines;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use ptelab::DEFAULT_PORTS;
use std::ffi::OsStr;

/// Lists of names, which a shell completes: what stands in them is looked up later.
#[derive(Clone, Copy)]
pub(crate) struct Names(fn() -> Vec<&'static str>);

pub(crate) const PORTS: Names = Names(|| [ptelab::port_names(), vec![DEFAULT_PORTS, "all"]].concat());
pub(crate) const KERNELS: Names = Names(|| [ptelab::kernel_names(), vec!["all"]].concat());

impl TypedValueParser for Names {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.0)().into_iter().map(PossibleValue::new)))
    }
}

/// The features of all CPUs, ports with the same ones together.
pub(crate) fn cpu_help() -> String {
    let mut lists: Vec<(Vec<&str>, String)> = Vec::new();
    for port in ptelab::ports().into_iter().filter(|port| !port.features.is_empty()) {
        let state = |on| if on { "" } else { "-" };
        let features =
            port.features.iter().map(|feature| format!("{}{}", state(feature.default), feature.name));
        let features = features.collect::<Vec<_>>().join(" ");
        match lists.iter_mut().find(|(_, known)| *known == features) {
            Some((ports, _)) => ports.push(port.name),
            None => lists.push((vec![port.name], features)),
        }
    }
    let lists = lists.iter().map(|(ports, features)| format!("{}: {features}", ports.join(", ")));
    format!(
        "Switch a CPU feature, as in arm64.hafdbs=off; may be given several times. Features, with - those that are off by \
        default: {}",
        lists.collect::<Vec<_>>().join("; ")
    )
}

pub(crate) fn ports_help() -> String {
    let (default, all) = (ptelab::default_port_names(), ptelab::port_names());
    let others: Vec<&str> = all.into_iter().filter(|port| !default.contains(port)).collect();
    format!(
        "Ports, separated by commas: {} (these are `{DEFAULT_PORTS}`), {}, or all",
        default.join(", "),
        others.join(", ")
    )
}

pub(crate) fn kernels_help(images: &str) -> String {
    let also = if images.is_empty() { String::new() } else { format!("; or {images}") };
    format!(
        "Kernels, separated by commas: {}, another release, a file of rules as mine.toml, or all{also}",
        machines::known()
    )
}

pub(crate) fn held_against_help() -> String {
    let known = machines::known();
    format!(
        "The kernel image to play on under QEMU; with --host, the rules to compare the running kernel with: {known}, or a file of \
        rules [default: the nearest]"
    )
}

pub(crate) fn race_help() -> String {
    let default = ptelab::KernelRules::DEFAULT.name;
    format!(
        "Only what hardware may do between the steps of operations, under this kernel: a release or a file of rules [default: {default}]"
    )
}
