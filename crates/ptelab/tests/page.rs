//! The page on the library shows the library's own example, which is tested.

/// The example of the library's documentation, without what it hides.
fn example() -> String {
    let docs = include_str!("../src/lib.rs").lines().map_while(|line| line.strip_prefix("//!"));
    let lines = docs.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let code = lines.skip_while(|line| *line != "```").skip(1).take_while(|line| *line != "```");
    code.filter(|line| !line.starts_with("# ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_page_shows_the_tested_example() {
    assert!(example().contains("Machine::builder"), "{}", example());
    assert!(include_str!("../../../docs/library.md").contains(&format!("```rust\n{}\n```\n", example())));
}
