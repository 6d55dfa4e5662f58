//! How mistakes are shown. Each text `tests/mistakes/NAME.scn` has its rendering beside it.

use std::fs;
use std::path::{Path, PathBuf};

use ptelab_scenario::{Diagnostics, MAX_KEPT, MAX_SHOWN, parse, parse_bytes};

fn mistakes(source: &str) -> Diagnostics {
    parse(source).expect_err("the text is full of mistakes")
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes")
}

fn snapshot(name: &str, rendered: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(directory());
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, rendered));
}

#[test]
fn every_text_is_shown_as_its_snapshot_says() {
    let mut texts: Vec<_> = fs::read_dir(directory())
        .expect("the directory is part of the crate")
        .map(|entry| entry.expect("a directory can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "scn"))
        .collect();
    texts.sort();
    assert!(texts.len() >= 17, "only {} texts", texts.len());
    for path in texts {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a plain name");
        let source = fs::read_to_string(&path).expect("a text");
        let rendered = mistakes(&source).render(&format!("{name}.scn"), &source, false);
        snapshot(name, &rendered);
    }
}

#[test]
fn control_characters_are_shown_and_never_sent() {
    let source = "fork()\u{1b}[31m\n\
                  dump(0, 4K, \"a\u{7}b\")\n\
                  \tfork()\t# a\u{0}b\n\
                  \u{202e}fork()\u{85}\r\n\
                  fork(\u{feff}) \rx\r\n";
    let found = mistakes(source);
    assert_eq!(found.items.len(), 6, "{found:#?}");
    let rendered = found.render("a\u{1b}[0mb.scn", source, false);
    snapshot("control-characters", &rendered);
    let raw = |c: &char| c.is_control() && *c != '\n';
    assert_eq!(rendered.chars().find(raw), None);
    assert!(!rendered.contains(['\u{202e}', '\u{feff}']));
    assert!(!found.to_string().contains(|c: char| c.is_control()));
}

#[test]
fn color_is_only_in_the_colored_text() {
    let source = "frok()";
    let found = mistakes(source);
    let (plain, colored) = (found.render("a", source, false), found.render("a", source, true));
    assert!(!plain.contains('\u{1b}'));
    assert!(colored.contains("\u{1b}["));
    assert!(plain.contains("did you mean `fork`?") && colored.contains("did you mean `fork`?"));
}

#[test]
fn a_long_line_is_shown_in_part() {
    let padding = "x".repeat(1 << 20);
    let source = format!("dump(0x40000000, 4K, \"{padding}\", 5, \"{padding}\")");
    let found = mistakes(&source);
    assert_eq!(found.items[0].column as usize, source.find("5, \"x").unwrap() + 1);
    snapshot("long-line", &found.render("long-line.scn", &source, false));
}

#[test]
fn only_so_many_mistakes_are_shown() {
    let source = "frok()\n".repeat(150);
    let found = mistakes(&source);
    assert_eq!((found.items.len(), found.total()), (150, 150));
    let rendered = found.render("a", &source, false);
    assert_eq!(rendered.matches("error:").count(), MAX_SHOWN);
    assert!(rendered.ends_with("and 50 more mistakes, 150 in all\n"), "{rendered}");
    assert_eq!(found.to_string(), "line 1, column 1: unknown call `frok` (and 149 more mistakes)");
}

#[test]
fn only_so_many_mistakes_are_kept() {
    let found = mistakes(&"x\n".repeat(MAX_KEPT + 7));
    assert_eq!((found.items.len(), found.omitted), (MAX_KEPT, 7));
}

#[test]
fn mistakes_come_by_place_whatever_finds_them_first() {
    let found = mistakes("repeat 3 {\nfrok()\nmunmap(x");
    let places: Vec<_> = found.items.iter().map(|item| (item.line, item.column)).collect();
    assert_eq!(places, [(1, 1), (2, 1), (3, 8), (3, 9)]);
}

#[test]
fn columns_count_characters_and_spans_count_bytes() {
    let found = mistakes("\u{feff}fork()\r\ndump(0, 0, \"é日\", é)\r\n");
    let item = &found.items[0];
    assert_eq!((item.line, item.column, item.span.clone()), (2, 18, 31..33));
}

#[test]
fn a_wrong_source_is_rendered_somehow() {
    let found = mistakes("fork()\nfork()\nmunmap(0x40000000, é4K)");
    for source in ["", "é", "日本語日本語日本語日本語日本語"] {
        assert!(found.render("a", source, false).starts_with("error: unexpected character U+00E9"));
    }
}

#[test]
fn bytes_that_are_no_text_are_told_by_offset() {
    let bytes = b"fork()\nfork() # \xe9t\xe9\nfrok()\n\xff(\nmunmap(0)\n";
    let found = parse_bytes("a.scn", bytes).expect_err("not UTF-8");
    let source = String::from_utf8_lossy(bytes);
    snapshot("not-utf-8", &found.render("a.scn", &source, false));
    assert_eq!(found.items.len(), 4);
    assert_eq!(found.items[0].message, "byte 0xe9 at offset 16 is not UTF-8");
}

#[test]
fn a_binary_file_is_one_mistake() {
    let found = parse_bytes("a.bin", b"\x7fELF\x02\x01\x01\0\0\n\0\xb8\n\xff\n").expect_err("no text");
    assert_eq!(found.to_string(), "line 2, column 2: byte 0xb8 at offset 11 is not UTF-8");
    assert_eq!(found.items[0].help.as_deref(), Some("`a.bin` looks like a binary file"));

    let utf16: Vec<u8> = "\u{feff}fork()".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let found = parse_bytes("a.scn", &utf16).expect_err("no UTF-8");
    let help = found.items[0].help.as_deref();
    assert_eq!(help, Some("this looks like UTF-16: save the file as UTF-8"));
}
