//! Every command that README and the pages of the book show is run, and must print what they show.
//!
//! `...` stands for any lines, `[..]` for anything within a line. `DOCS=write cargo test -p ptelab-cli --test docs` writes what commands
//! print into the pages, but for what those stand for.

#[cfg(unix)]
mod page;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    let args = libtest_mimic::Arguments::from_args();
    let trials = page::all().into_iter().map(|page| {
        let name = page.name();
        libtest_mimic::Trial::test(name, move || page.test().map_err(libtest_mimic::Failed::from))
    });
    libtest_mimic::run(&args, trials.collect()).exit_code()
}

#[cfg(not(unix))]
fn main() {}
