//! Texts meant to break the parser.

use proptest::prelude::*;
use ptelab_scenario::{Item, MAX_DEPTH, parse, parse_bytes};

/// Parses, and if there are mistakes, shows them; gives their number.
fn survive(bytes: &[u8]) -> u64 {
    let source = String::from_utf8_lossy(bytes);
    let Err(found) = parse_bytes("hostile", bytes) else {
        return 0;
    };
    let rendered = found.render("hostile", &source, false);
    assert!(rendered.starts_with("error: "), "{rendered}");
    assert!(!rendered.contains(|c: char| c.is_control() && c != '\n'), "{rendered:?}");
    for item in &found.items {
        assert!(item.span.start <= item.span.end && item.span.end <= source.len(), "{item:?}");
        assert!(source.is_char_boundary(item.span.start) && source.is_char_boundary(item.span.end));
        assert!(item.line >= 1 && item.column >= 1, "{item:?}");
    }
    found.total()
}

/// What lines are made of, and what they are not.
const PIECES: &[&str] = &[
    "munmap",
    "mmap",
    "dump",
    "thp",
    "fork",
    "repeat",
    "pid",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    "|",
    "+",
    "-",
    "=",
    "?",
    "#",
    "\"",
    "\\",
    "\"a\"",
    "0x40000000",
    "4K",
    "1",
    "08",
    "99999999999999999999",
    "PROT_READ",
    "MAP_PRIVATE",
    "READ",
    "NULL",
    "ENOMEM",
    "SIGBUS",
    "-1 EINVAL",
    " ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\0",
    "é",
    "日",
    "\u{feff}",
    "\u{1b}",
    "\u{85}",
    "munmap(0, 4K)",
    "repeat 2 {\n",
    "}\n",
    "[pid 2] ",
    " = 0",
];

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        survive(&bytes);
    }

    #[test]
    fn any_text(text in "\\PC*") {
        survive(text.as_bytes());
    }

    #[test]
    fn any_pieces(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..60)) {
        let text = pieces.concat();
        survive(text.as_bytes());
        if let Ok(scenario) = parse(&text) {
            prop_assert_eq!(parse(&scenario.to_string()), Ok(scenario));
        }
    }
}

#[test]
fn a_line_of_a_megabyte() {
    let long = 1 << 20;
    let lines = [
        ("x".repeat(long), 1),
        ("(".repeat(long), 1),
        ("é".repeat(long), 1),
        (format!("munmap({}", ",".repeat(long)), 3),
        (format!("munmap({}0, 4K)", "(".repeat(long)), 2),
        (format!("munmap({}0, 4K)", "-1 + ".repeat(long)), (long as u64)),
        (format!("dump(0, 4K, \"{}", "x".repeat(long)), 1),
        (format!("fork() = {}", "9".repeat(long)), 1),
        (format!("repeat {} {{", "9".repeat(long)), 2),
    ];
    for (line, mistakes) in lines {
        assert_eq!(survive(line.as_bytes()), mistakes, "{}", &line[..20]);
    }
}

#[test]
fn a_long_right_line_is_right() {
    let sum = format!("munmap({}0, 4K) #{}", "1 + ".repeat(1 << 18), "x".repeat(1 << 20));
    let scenario = parse(&sum).expect("long, and right");
    assert!(
        matches!(&scenario.items[..], [Item::Line(line)] if line.call.to_string() == "munmap(0x40000, 4K)")
    );
}

#[test]
fn very_deep_nesting() {
    let depth = 1_000_000;
    let text = format!("{}{}", "repeat 2 {\n".repeat(depth), "}\n".repeat(depth));
    let found = parse(&text).expect_err("too deep");
    assert_eq!(found.to_string(), "line 65, column 1: blocks are nested more than 64 deep");

    let open = "repeat 2 {\n".repeat(depth);
    assert_eq!(parse(&open).expect_err("too deep").items.len(), MAX_DEPTH + 1);
}

#[test]
fn the_deepest_nesting_allowed() {
    let text = format!("{}fork()\n{}", "repeat 2 {\n".repeat(MAX_DEPTH), "}\n".repeat(MAX_DEPTH));
    let scenario = parse(&text).expect("just deep enough");
    assert_eq!(scenario.step_count(), 1 << MAX_DEPTH);
    assert_eq!(parse(&scenario.to_string()), Ok(scenario));
}

#[test]
fn nul_bytes() {
    assert_eq!(survive(b"\0\0\0"), 1);
    assert_eq!(survive(b"fork()\0\nfork(\0)\n"), 2);
    assert_eq!(survive(b"fork() # \0\n"), 1);
}
