//! `ptelab calls`, `ptelab counters`, `ptelab ports`, `ptelab completions`, `ptelab man`

use crate::args;
use crate::defaults;
use crate::exit::FINE;
use crate::output::{self, Failed, Out};
use clap_complete::Shell;
use ptelab::pgtable::CpuFeature;
use ptelab::uapi::{ByteSize, FORMS, Params};
use ptelab::{Counter, Level};
use std::io;
use std::path::Path;

/// The table of calls, as it is.
pub(crate) fn calls(out: &mut Out) -> Result<u8, Failed> {
    for form in FORMS {
        out.line(format!("{}({})\n    {}", form.name, Params(form.params), form.doc))?;
    }
    Ok(FINE)
}

/// What machines count, in the order of tables.
pub(crate) fn counters(out: &mut Out) -> Result<u8, Failed> {
    for counter in Counter::ALL {
        out.line(format!("{:24} {}", counter.name(), counter.doc()))?;
    }
    Ok(FINE)
}

/// The ports, each with its pages and the features of its CPUs.
pub(crate) fn ports(out: &mut Out) -> Result<u8, Failed> {
    for port in ptelab::ports() {
        let [page, huge] = [Level::Pte, Level::Pmd].map(|level| ByteSize(port.shape.entry_size(level)));
        let also = if port.aliases.is_empty() {
            String::new()
        } else {
            format!("; also called {}", port.aliases.join(", "))
        };
        out.line(format!("{}: pages of {page}, huge pages of {huge}{also}", port.name))?;
        for CpuFeature { name, default, doc, .. } in port.features {
            let state = if *default { "on" } else { "off" };
            out.line(format!("    {name:12} {state:3}  {doc}"))?;
        }
    }
    Ok(FINE)
}

pub(crate) fn completions(shell: Shell, out: &mut Out) -> Result<u8, Failed> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut defaults::command(), "ptelab", &mut text);
    out.text(String::from_utf8_lossy(&text))?;
    Ok(FINE)
}

/// The manual page of the program, or of one of its commands; or all of them, into a folder.
pub(crate) fn man(args: &args::Man, out: &mut Out) -> Result<u8, Failed> {
    let mut program = defaults::command();
    if let Some(folder) = &args.output {
        return pages(program, folder, out);
    }
    program.build();
    let page = match &args.name {
        None => &program,
        Some(name) => program.find_subcommand(name).ok_or_else(|| {
            let known = program.get_subcommands().filter(|command| !command.is_hide_set());
            let known: Vec<&str> = known.map(clap::Command::get_name).collect();
            Failed::Unusable(format!("no command `{name}`: choose from {}", known.join(", ")))
        })?,
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page.clone()).render(&mut text)?;
    out.text(String::from_utf8_lossy(&text))?;
    Ok(FINE)
}

/// Every page, into a folder.
fn pages(program: clap::Command, folder: &Path, out: &mut Out) -> Result<u8, Failed> {
    let failed = |error: io::Error| Failed::Unusable(format!("{}: {error}", folder.display()));
    if !folder.exists() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    output::check_folder(folder)?;
    clap_mangen::generate_to(program, folder).map_err(failed)?;
    out.line(format!("wrote the pages of ptelab and its commands to {}", folder.display()))?;
    Ok(FINE)
}
