//! Building the playground: the emulator as WebAssembly, and one page with everything in it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use ptelab_report::Parts;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

/// Scripts of the page, in this order behind the report's.
const SCRIPTS: [&str; 3] = ["machinery.js", "editor.js", "playground.js"];

/// Builds the page; says where it is and how large.
pub(crate) fn build(out: Option<&Path>) -> Result<bool, String> {
    let root = crate::tree::root();
    let wasm = wasm(&root)?;
    let packed = BASE64_STANDARD.encode(packed(&wasm)?);
    let page = page(&root.join("crates/playground/page"), &packed)?;
    let out = out.map_or_else(|| root.join("target/playground.html"), Path::to_path_buf);
    let folder = out.parent().map_or(Ok(()), fs::create_dir_all);
    folder.and_then(|()| fs::write(&out, &page)).map_err(|error| format!("{}: {error}", out.display()))?;
    println!("{}: {} KiB, the emulator in it {} KiB", out.display(), page.len() / 1024, wasm.len() / 1024);
    Ok(true)
}

/// The emulator. Where rustup has no std for the target, it is built from its source, if that is there.
fn wasm(root: &Path) -> Result<Vec<u8>, String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    cargo.args(["build", "--package", "ptelab-playground", "--profile", "playground", "--target", TARGET]);
    let sysroot = sysroot(root)?;
    if !sysroot.join("lib/rustlib").join(TARGET).exists() {
        if !sysroot.join("lib/rustlib/src/rust/library/std").exists() {
            return Err(format!(
                "there is no std for {TARGET}: `rustup target add {TARGET}`, or `rustup component add rust-src` to build it"
            ));
        }
        cargo.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
    }
    let done = cargo.status().map_err(|error| format!("cargo: {error}"))?;
    if !done.success() {
        return Err("the emulator could not be built".to_owned());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    read(&target.join(TARGET).join("playground/ptelab_playground.wasm"))
}

fn sysroot(root: &Path) -> Result<PathBuf, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(rustc).current_dir(root).args(["--print", "sysroot"]).output();
    let said = asked.map_err(|error| format!("rustc: {error}"))?.stdout;
    Ok(PathBuf::from(String::from_utf8_lossy(&said).trim()))
}

/// The page. Its policy allows what stands in it, by hash, and nothing else.
fn page(folder: &Path, wasm: &str) -> Result<String, String> {
    let file =
        |name: &str| String::from_utf8(read(&folder.join(name))?).map_err(|error| format!("{name}: {error}"));
    let Parts { style, bar, main, script } = Parts::ALL;
    let style = format!("\n{style}{}", file("playground.css")?);
    let scripts = SCRIPTS.iter().map(|name| file(name)).collect::<Result<String, _>>()?;
    let script = format!("\n'use strict';\n{{\n{script}{scripts}}}\n");
    let policy = format!(
        "default-src 'none'; script-src {} 'wasm-unsafe-eval'; style-src {}; worker-src blob:; img-src data:; \
         base-uri 'none'; form-action 'none'",
        hash(&script),
        hash(&style)
    );
    let parts = [
        ("policy", policy.as_str()),
        ("style", &style),
        ("bar", bar),
        ("main", main),
        ("wasm", wasm),
        ("worker", &file("worker.js")?),
        ("script", &script),
    ];
    filled(&file("index.html")?, &parts)
}

/// A text with `{{ name }}` replaced, each once and in one pass: what is put in may have braces itself.
fn filled(text: &str, parts: &[(&str, &str)]) -> Result<String, String> {
    let mut pieces = text.split("{{ ");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once(" }}").ok_or("a `{{` of the page is not closed")?;
        let part = parts.iter().find(|(known, _)| *known == name);
        let (_, part) = part.ok_or_else(|| format!("the page names `{name}`, which is not known"))?;
        out.push_str(part);
        out.push_str(rest);
    }
    Ok(out)
}

fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text.as_bytes())))
}

fn packed(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(bytes).and_then(|()| packer.finish()).map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_not_looked_into() {
        let parts = [("a", "{{ b }}"), ("b", "x")];
        assert_eq!(filled("<{{ a }}|{{ b }}>", &parts).unwrap(), "<{{ b }}|x>");
        assert!(filled("{{ c }}", &parts).unwrap_err().contains("`c`"));
    }

    #[test]
    fn the_page_is_whole() {
        let folder = crate::tree::root().join("crates/playground/page");
        let page = page(&folder, "AAAA").unwrap();
        assert!(page.contains("script-src 'sha256-"), "what runs is named");
        // A name, which nothing is fetched from.
        let page = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!page.contains("http://") && !page.contains("https://"), "nothing is from elsewhere");
    }
}
