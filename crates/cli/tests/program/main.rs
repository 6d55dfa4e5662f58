//! The program as a user meets it: statuses, messages, wrong input.

mod bench;
mod general;
mod kernels;
mod logs;
mod ports;
mod replay;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn ptelab(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ptelab")).args(args).output().expect("the program runs")
}

fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name).display().to_string()
}

/// A file of the test's own.
fn file(name: &str, bytes: &[u8]) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).expect("the folder for tests can be written");
    path.display().to_string()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Status 2, nothing on standard output, and a message that holds all of `words` but no panic.
fn refused(args: &[&str], words: &[&str]) {
    let output = ptelab(args);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    assert!(!message.contains("panicked"), "{message}");
    for word in words {
        assert!(message.contains(word), "{args:?}: no `{word}` in: {message}");
    }
}

fn parsed(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).expect("JSON")
}
