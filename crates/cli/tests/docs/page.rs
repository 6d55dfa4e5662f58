//! A page of Markdown, as a test.

use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use snapbox::{Assert, IntoData};

/// What a fence begins with where commands follow.
const CONSOLE: &str = "```console";

/// One page.
pub(crate) struct Page(PathBuf);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// README and the pages of the book.
pub(crate) fn all() -> Vec<Page> {
    let mut pages = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the pages can be listed") {
            let path = entry.expect("an entry of a folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages.into_iter().map(Page).collect()
}

impl Page {
    pub(crate) fn name(&self) -> String {
        let root = root();
        self.0.strip_prefix(&root).unwrap_or(&self.0).display().to_string()
    }

    /// Runs its commands in a folder of its own, where the repository's files are too.
    pub(crate) fn test(&self) -> Result<(), String> {
        let text = std::fs::read_to_string(&self.0).map_err(|error| error.to_string())?;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("docs").join(self.name());
        let _ = std::fs::remove_dir_all(&folder);
        lay_out(&folder).map_err(|error| error.to_string())?;
        let (mut shown, mut wrong) = (String::new(), String::new());
        let mut lines = text.split_inclusive('\n');
        while let Some(line) = lines.next() {
            shown.push_str(line);
            let Some(info) = line.strip_prefix("```") else { continue };
            let block: String = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            let checked = if line.starts_with(CONSOLE) {
                console(&block, &folder, &mut wrong)
            } else {
                file(info, &block, &folder)?;
                block
            };
            shown.push_str(&checked);
            shown.push_str("```\n");
        }
        if std::env::var_os("DOCS").is_some_and(|value| value == "write") {
            return std::fs::write(&self.0, shown).map_err(|error| error.to_string());
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

/// A folder with links to all that the repository has.
fn lay_out(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(root())? {
        let path = entry?.path().canonicalize()?;
        if let Some(name) = path.file_name().filter(|name| *name != "target" && *name != ".git") {
            symlink(&path, folder.join(name))?;
        }
    }
    Ok(())
}

/// A block whose fence names a file is that file.
fn file(info: &str, block: &str, folder: &Path) -> Result<(), String> {
    match info.split_whitespace().nth(1).filter(|name| name.contains('.')) {
        Some(name) => std::fs::write(folder.join(name), block).map_err(|error| format!("{name}: {error}")),
        None => Ok(()),
    }
}

/// The block with what its commands print.
fn console(block: &str, folder: &Path, wrong: &mut String) -> String {
    let mut shown = String::new();
    let mut lines = block.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        shown.push_str(line);
        let Some(command) = line.strip_prefix("$ ") else { continue };
        let mut command = command.to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with("> ")) {
            shown.push_str(more);
            command.push_str(&more[2..]);
        }
        let expected: String = std::iter::from_fn(|| lines.next_if(|line| !line.starts_with("$ "))).collect();
        let printed = print(&command, folder);
        let (printed, expected) = Assert::new().normalize(printed.into_data(), expected.into_data());
        if printed != expected {
            let _ = writeln!(wrong, "$ {command}is shown as\n{expected}but prints\n{printed}");
        }
        shown.push_str(&printed.to_string());
    }
    shown
}

/// What a command prints in a shell, to either stream.
fn print(command: &str, folder: &Path) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_ptelab")).parent().expect("it is in a folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(program.to_owned()).chain(std::env::split_paths(&path)));
    let output = Command::new("bash")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .current_dir(folder)
        .env("PATH", path.expect("a list of folders"))
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => error.to_string(),
    }
}
