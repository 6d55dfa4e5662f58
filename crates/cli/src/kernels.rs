//! `ptelab kernels`

use crate::args;
use crate::exit::FINE;
use crate::machines::named;
use crate::output::{Failed, Out};
use ptelab::kernels::{self, ChangesTable, Turned};
use ptelab::scenario::did_you_mean;
use ptelab::{Matrix, changes, port_named};

pub(crate) fn kernels(args: &args::Kernels, out: &mut Out) -> Result<u8, Failed> {
    let mut of = args.of.as_slice();
    if let [name] = of {
        let table = ChangesTable::new(None);
        if let Some(row) = table.changes.iter().find(|row| row.id == name) {
            if args.json {
                out.json(row)?;
            } else {
                out.text(table.row_text(row))?;
            }
            return Ok(FINE);
        }
        if name == "all" {
            of = &[];
        } else if let Some(hint) = did_you_mean(name, changes().map(|(_, change)| change.id)) {
            return Err(Failed::Unusable(format!("no change `{name}`: {hint}")));
        }
    }
    if let Some(id) = of.iter().find(|name| changes().any(|(_, change)| change.id == name.as_str())) {
        return Err(Failed::Unusable(format!("`{id}` is a change and stands alone: `ptelab kernels {id}`")));
    }
    if of.len() > 2 {
        let why = "name one kernel for what holds in it, or two for what changed between them";
        return Err(Failed::Unusable(format!("{} kernels: {why}", of.len())));
    }
    let rules = of.iter().map(|name| named(name)).collect::<Result<Vec<_>, _>>()?;
    let port = args.arch.as_deref().filter(|arch| *arch != "all").map(port).transpose()?;
    let text = match rules.as_slice() {
        [] => {
            let table = ChangesTable::new(port);
            if args.json {
                out.json(&table)?;
                return Ok(FINE);
            }
            if args.markdown { table.markdown() } else { table.text() }
        }
        [first, others @ ..] => {
            let of = port.map_or_else(String::new, |port| format!(" on {port}"));
            let (turned, heading) = match others.last() {
                Some(to) => (
                    kernels::turned_between(first, to, port),
                    format!("From {} to {}{of} (+ begins to hold, - ends):\n", first.name, to.name),
                ),
                None => {
                    (kernels::kernel_changes(first, port), format!("What holds in {}{of}:\n", first.name))
                }
            };
            if args.json {
                out.json(&turned)?;
                return Ok(FINE);
            }
            let none = if turned.is_empty() { "  no difference\n" } else { "" };
            heading + &turned.iter().map(Turned::text).collect::<String>() + none
        }
    };
    out.text(text)?;
    Ok(FINE)
}

/// A port by one of its names; other names are refused as everywhere.
fn port(name: &str) -> Result<&'static str, Failed> {
    Matrix::new().ports(name)?;
    port_named(name)
        .map(|port| port.name)
        .ok_or_else(|| Failed::Unusable(format!("`{name}` is not one port")))
}
