//! Programs of syzkaller: their calls about memory, as a scenario.
//!
//! ```
//! let program = "r0 = openat$ptmx(0xffffffffffffff9c, &(0x7f0000000040), 0x0, 0x0)\n\
//!                mprotect(&(0x7f0000001000/0x2000)=nil, 0x2000, 0x1)\n";
//! assert!(ptelab_scenario::syz::is_program(program));
//! let found = ptelab_scenario::syz::read(program);
//! assert_eq!((found.calls, found.skipped["openat"]), (1, 1));
//! assert!(found.scenario.ends_with("mprotect(0x7f0000001000, 0x2000, 0x1)\n"));
//! assert!(ptelab_scenario::parse(&found.scenario).is_ok());
//! ```

use ptelab_uapi::{FORMS, MapFlags};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What syzkaller's executor maps for the program's data, where programs say it is.
const DATA: &str = "# A program of syzkaller: the memory for its data, then its calls about memory.\n\
    mmap(0x7f0000000000, 16M, PROT_READ|PROT_WRITE|PROT_EXEC, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS, -1, 0)\n";

/// The calls whose first arguments are a scenario's, one for one.
const CALLS: [&str; 14] = [
    "mmap",
    "munmap",
    "mprotect",
    "madvise",
    "mremap",
    "mlock",
    "mlock2",
    "munlock",
    "mlockall",
    "munlockall",
    "msync",
    "mincore",
    "mseal",
    "fork",
];

/// A program, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Syz {
    /// Its calls about memory, as a scenario's text.
    pub scenario: String,
    /// How many those are.
    pub calls: u64,
    /// The calls that were left out, by name.
    pub skipped: BTreeMap<String, u64>,
}

/// Whether a text is such a program: each line is a call, and one names data or a variant as only they do.
pub fn is_program(text: &str) -> bool {
    let mut lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).peekable();
    let is_typical = |line: &str| line.contains("&(0x") || line.contains("=nil") || line.starts_with("syz_");
    let any = lines.peek().is_some();
    let mut typical = false;
    any && lines.all(|line| {
        typical |= is_typical(line) || name_of(line).is_some_and(|(whole, name, _)| whole.len() > name.len());
        name_of(line).is_some()
    }) && typical
}

/// Reads a program.
pub fn read(text: &str) -> Syz {
    let mut syz = Syz { scenario: DATA.to_owned(), ..Syz::default() };
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((_, name, args)) = name_of(line) else {
            *syz.skipped.entry("lines that are no call".to_owned()).or_default() += 1;
            continue;
        };
        match call(name, args) {
            Some(call) => {
                syz.calls += 1;
                let _ = writeln!(syz.scenario, "{call}");
            }
            None => *syz.skipped.entry(name.to_owned()).or_default() += 1,
        }
    }
    syz
}

/// `r0 = openat$ptmx(...)`: the name with its variant, the name, and what follows the parenthesis.
fn name_of(line: &str) -> Option<(&str, &str, &str)> {
    let call = match line.split_once(" = ") {
        Some((result, call)) if result.starts_with('r') && result[1..].parse::<u32>().is_ok() => call,
        _ => line,
    };
    let (whole, args) = call.split_once('(')?;
    let is_word =
        !whole.is_empty() && whole.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
    is_word.then(|| (whole, whole.split('$').next().unwrap_or(whole), args))
}

/// The call as a scenario has it; nothing where it has none, or where an argument is what another call returned.
fn call(name: &str, args: &str) -> Option<String> {
    let form = FORMS.iter().find(|form| form.name == name && CALLS.contains(&name))?;
    let count = form.params.len();
    let mut args = split(args).into_iter().take(count).map(value).collect::<Option<Vec<String>>>()?;
    if args.len() < count {
        return None;
    }
    if name == "mmap" {
        let flags = u64::from_str_radix(args[3].trim_start_matches("0x"), 16).ok()?;
        MapFlags::from_bits_retain(flags).contains(MapFlags::ANONYMOUS).then_some(())?;
        "-1".clone_into(&mut args[4]);
    }
    Some(format!("{name}({})", args.join(", ")))
}

/// The arguments up to the parenthesis that ends them.
fn split(text: &str) -> Vec<&str> {
    let (mut args, mut start, mut depth, mut quote) = (Vec::new(), 0, 0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')') if depth == 0 => {
                args.push(&text[start..at]);
                break;
            }
            (None, ')' | ']' | '}') => depth -= 1,
            (None, ',') if depth == 0 => {
                args.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    args.into_iter().map(str::trim).filter(|arg| !arg.is_empty()).collect()
}

/// `0x1000`, `&(0x7f0000000000/0x1000)=nil`, `nil`
fn value(arg: &str) -> Option<String> {
    let number = |text: &str| {
        let digits = text.strip_prefix("0x")?;
        u64::from_str_radix(digits, 16).ok().map(|n| format!("{n:#x}"))
    };
    if arg == "nil" {
        return Some("0x0".to_owned());
    }
    if let Some(inner) = arg.strip_prefix("&(") {
        return number(inner.split(['/', ')', '+']).next()?);
    }
    number(arg)
}

#[cfg(test)]
mod tests {
    use super::{is_program, read};

    #[test]
    fn calls_about_memory_are_taken_and_others_counted() {
        let program = "# https://example.org\n\
            mmap(&(0x7f0000000000/0xff5000)=nil, 0xff5000, 0x3, 0x32, 0xffffffffffffffff, 0x0)\n\
            r0 = socket$inet(0x2, 0x1, 0x0)\n\
            mmap(&(0x7f0000ff5000/0x1000)=nil, 0x1000, 0x3, 0x12, r0, 0x0)\n\
            setsockopt(r0, 0x1, 0x2, &(0x7f0000000040)={0x1, [0x2, 0x3], \"),\"}, 0x4)\n\
            madvise(&(0x7f0000000000/0x600000)=nil, 0x600003, 0x19) (async)\n\
            mremap(&(0x7f0000a94000/0x2000)=nil, 0x2000, 0x800000, 0x3, &(0x7f0000130000/0x800000)=nil)\n\
            mincore(&(0x7f0000ffb000/0x3000)=nil, 0x3000, &(0x7f0000000000)=\"\"/1)\n";
        let found = read(program);
        let lines: Vec<&str> = found.scenario.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "mmap(0x7f0000000000, 0xff5000, 0x3, 0x32, -1, 0x0)",
                "madvise(0x7f0000000000, 0x600003, 0x19)",
                "mremap(0x7f0000a94000, 0x2000, 0x800000, 0x3, 0x7f0000130000)",
                "mincore(0x7f0000ffb000, 0x3000)",
            ]
        );
        assert_eq!(found.calls, 4);
        let skipped: Vec<_> = found.skipped.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        assert_eq!(skipped, [("mmap", 1), ("setsockopt", 1), ("socket", 1)]);
        assert!(is_program(program) && crate::parse(&found.scenario).is_ok());
    }

    #[test]
    fn scenarios_and_logs_are_no_such_programs() {
        for text in ["", "munmap(0x1000, 4096) = 0\n", "fork() = 2\n", "repeat 3 {\n}\n", "{\"a\": \"&(0x\"}"]
        {
            assert!(!is_program(text), "{text}");
        }
    }
}
