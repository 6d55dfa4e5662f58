//! `ptelab calls`, `ptelab completions`, `ptelab man`

use crate::args::Args;
use crate::exit::FINE;
use crate::output::{Failed, Out};
use clap::CommandFactory;
use clap_complete::Shell;
use ptelab::uapi::{FORMS, Params};

/// The table of calls, as it is.
pub(crate) fn calls(out: &mut Out) -> Result<u8, Failed> {
    for form in FORMS {
        out.line(format!("{}({})", form.name, Params(form.params)))?;
    }
    Ok(FINE)
}

pub(crate) fn completions(shell: Shell, out: &mut Out) -> Result<u8, Failed> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "ptelab", &mut text);
    out.text(String::from_utf8_lossy(&text))?;
    Ok(FINE)
}

/// The page of the program, then those of its commands.
pub(crate) fn man(out: &mut Out) -> Result<u8, Failed> {
    let mut program = Args::command();
    program.build();
    let mut text = Vec::new();
    clap_mangen::Man::new(program.clone()).render(&mut text)?;
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        let page = clap_mangen::Man::new(command.clone());
        page.render_name_section(&mut text)?;
        page.render_synopsis_section(&mut text)?;
        page.render_options_section(&mut text)?;
        page.render_extra_section(&mut text)?;
    }
    out.text(String::from_utf8_lossy(&text))?;
    Ok(FINE)
}
