//! What there is to choose from and to write.

use crate::examples::{EXAMPLES, Example};
use ptelab::check::BUGS;
use ptelab::kernels::before_and_default;
use ptelab::uapi::{FORMS, Kind, Params, Slot};
use ptelab::{kernel_names, port_names};
use serde::Serialize;

/// What a page shows unless told otherwise: the two that a page is wide enough for.
const DEFAULT_PORTS: [&str; 2] = ["arm64", "x86_64"];

/// What there is.
#[derive(Debug, Serialize)]
pub(crate) struct About {
    version: &'static str,
    calls: Vec<Form>,
    ports: Vec<&'static str>,
    default_ports: [&'static str; 2],
    kernels: Vec<&'static str>,
    default_kernels: [&'static str; 2],
    bugs: Vec<Bug>,
    examples: &'static [Example],
}

/// A call.
#[derive(Debug, Serialize)]
struct Form {
    name: &'static str,
    /// Its parameters, as messages show them.
    text: String,
    /// By parameter, what may be written there by name.
    words: Vec<Vec<String>>,
}

/// A bug that can be planted.
#[derive(Debug, Serialize)]
struct Bug {
    name: &'static str,
    what: &'static str,
    port: &'static str,
}

pub(crate) fn about() -> About {
    let form = |form: &ptelab::uapi::Form| Form {
        name: form.name,
        text: Params(form.params).to_string(),
        words: form.params.iter().map(words).collect(),
    };
    About {
        version: env!("CARGO_PKG_VERSION"),
        calls: FORMS.iter().map(form).collect(),
        ports: port_names(),
        default_ports: DEFAULT_PORTS,
        kernels: kernel_names(),
        default_kernels: before_and_default().map(|rules| rules.name),
        bugs: BUGS.iter().map(|bug| Bug { name: bug.name, what: bug.what, port: bug.port }).collect(),
        examples: EXAMPLES,
    }
}

/// What may be written for a parameter by name.
fn words(slot: &Slot) -> Vec<String> {
    match slot.kind {
        Kind::Flags(table) => table.entries.iter().map(|entry| entry.name.to_owned()).collect(),
        Kind::Word(words) => words.iter().map(|&word| word.to_owned()).collect(),
        Kind::Quoted(words) => words.iter().map(|word| format!("\"{word}\"")).collect(),
        _ => Vec::new(),
    }
}
