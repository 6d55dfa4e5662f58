//! Real kernels as a user meets them. Where the host is no Linux that a port is like, or not root, tests say so and end.

#![cfg(target_os = "linux")]

use ptelab::real::qemu::GUESTS;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

const SETTING: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const KHUGEPAGED_SLEEPS: &str = "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs";

fn program(args: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_ptelab"));
    program.args(args);
    program
}

fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name).display().to_string()
}

/// A file of the test's own.
fn file(name: &str, text: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).expect("the folder for tests can be written");
    path.display().to_string()
}

/// What `verify --host` says of files; nothing where no port is like this host.
fn host(files: &[&str]) -> Option<Output> {
    let output = program(&["verify", "--host"]).args(files).output().expect("the program runs");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(2) && message.contains("port") {
        eprintln!("skipped: {message}");
        return None;
    }
    assert!(message.is_empty(), "{message}");
    Some(output)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn simple_scenarios_are_as_the_host_has_them() {
    let names = ["errors", "exclusive-after-fork", "vma-merge", "guard", "cow-reuse-after-exit"];
    let files = names.map(|name| fixture(&format!("scenarios/{name}.scn")));
    let Some(output) = host(&files.each_ref().map(String::as_str)) else { return };
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("held against the rules of"), "{}", stdout(&output));
    assert!(
        stdout(&output).contains("errors.scn: 1 of 1 dumps equal, 19 of 19 calls equal"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn a_scenario_whose_memory_is_taken_is_moved() {
    // Libraries and the stack of every program lie in this range.
    let text = "munmap(0x7e0000000000, 2T)\n\
        mmap(0x7e0000000000, 8K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n\
        memset(0x7e0000000000, 7, 4K)\n\
        check(0x7e0000000fff, 7)\n\
        dump(0x7e0000000000, 8K, \"end\")\n";
    let Some(output) = host(&[&file("taken.scn", text)]) else { return };
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("1 of 1 dumps equal, 4 of 4 calls equal\n  moved to 0x40000000-0x20040000000"),
        "{text}"
    );
}

#[test]
fn signals_are_compared_with_code_and_address() {
    let text = "mmap(0x40000000, 16K, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n\
        touch(0x40000000, 16K, WRITE)\nmemset(0x40000123, 1, 4K)\ntouch(0x40003000, 8K, READ)\ntouch(0, 4K, READ)\n\
        madvise(0x40001000, 4K, MADV_GUARD_INSTALL)\ntouch(0x40000000, 16K, READ)\ncheck(0x40001fff, 0)\n\
        mprotect(0x40002000, 4K, PROT_NONE)\ncheck(0x40002008, 0)\n";
    let Some(output) = host(&[&file("signals.scn", text)]) else { return };
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}

#[test]
fn what_the_machine_does_not_have_is_skipped() {
    let Some(output) =
        host(&[&file("numa.scn", "numa(64)\n"), &file("scan.scn", "numa_scan(0x40000000, 4K)\n")])
    else {
        return;
    };
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("numa.scn: skipped: it needs 64 NUMA nodes"), "{}", stdout(&output));
    assert!(stdout(&output).contains("2 files skipped"), "{}", stdout(&output));
}

#[test]
fn settings_are_put_back_when_the_program_is_killed() {
    let settings = || -> std::io::Result<(String, String)> {
        Ok((fs::read_to_string(SETTING)?, fs::read_to_string(KHUGEPAGED_SLEEPS)?))
    };
    let Ok(before) = settings() else { return eprintln!("skipped: no huge pages here") };
    if fs::OpenOptions::new().write(true).open(SETTING).is_err() {
        return eprintln!("skipped: only root changes settings");
    }
    let text = "thp(\"enabled\", \"always\")\nmmap(0x40000000, 4K, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n\
        repeat 1000000 {\nmprotect(0x40000000, 4K, PROT_NONE)\n}\n";
    let file = file("long.scn", text);
    let mut child =
        program(&["verify", "--host", &file]).stdout(Stdio::null()).spawn().expect("the program runs");
    let becomes = |wanted: &dyn Fn(&(String, String)) -> bool| {
        (0..600).any(|_| {
            sleep(Duration::from_millis(50));
            settings().is_ok_and(|now| wanted(&now))
        })
    };
    let during =
        |(setting, sleeps): &(String, String)| setting.contains("[always]") && sleeps.trim() == "4000000000";
    assert!(becomes(&during), "the scenario changes the setting, and khugepaged is to sleep");
    child.kill().expect("it still runs");
    child.wait().expect("it was started");
    assert!(becomes(&|now| *now == before), "the settings are as they were: {before:?}");
}

#[test]
fn what_qemu_needs_is_said() {
    let scenario = fixture("scenarios/errors.scn");
    let said = |args: &[&str]| {
        let mut program = program(&["verify", &scenario]);
        let output = program.args(args).env("PATH", "").output().expect("the program runs");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let other = file("other", "no kernel");
    let image = file("image", &format!("{}ARM\x64", "\0".repeat(56)));
    let folder = env!("CARGO_TARGET_TMPDIR");
    let missing = said(&["--qemu", "/nonexistent", "--arch", "arm64", "--guest", folder]);
    assert!(missing.contains("/nonexistent") && missing.contains("linux-image"), "{missing}");
    for args in [&["--kernel", &other][..], &["--qemu", &other, "--arch", "arm64"]] {
        let missing = said(args);
        assert!(missing.contains("does not look like a kernel image"), "{missing}");
    }
    let powerpc = file("powerpc", "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x15\0");
    let missing = said(&["--kernel", &powerpc]);
    assert!(missing.contains("gcc-powerpc64le-linux-gnu"), "{missing}");
    let missing = said(&["--qemu", &image, "--arch", "arm64"]);
    assert!(
        missing.contains("needs aarch64-linux-gnu-gcc") && missing.contains("gcc-aarch64-linux-gnu"),
        "{missing}"
    );
    let missing = said(&["--qemu", &image, "--arch", "arm64", "--guest", "/nonexistent"]);
    assert!(missing.contains("cargo xtask guest") && missing.contains("gcc-aarch64-linux-gnu"), "{missing}");
    file("guest-arm64.cpio", "no archive");
    let missing = said(&["--qemu", &image, "--arch", "arm64", "--guest", folder]);
    assert!(missing.contains("qemu-system-aarch64 is not installed (Debian: qemu-system-arm)"), "{missing}");
    assert_eq!(missing.lines().count(), 1, "{missing}");
}

/// The images that the environment names, one a port at most: `PTELAB_IMAGE_riscv64`, `PTELAB_IMAGE_arm64_16k`.
fn images() -> Vec<String> {
    let variables = GUESTS.iter().map(|guest| format!("PTELAB_IMAGE_{}", guest.port.replace('-', "_")));
    let named = variables.clone().filter_map(|variable| std::env::var(variable).ok());
    let images: Vec<String> = named.filter(|image| !image.is_empty()).collect();
    if images.is_empty() {
        eprintln!("skipped: none of {} names a kernel image", variables.collect::<Vec<_>>().join(", "));
    }
    images
}

#[test]
fn an_image_plays_many_scenarios_in_one_boot() {
    let names = ["errors", "contpte-fold", "vma-merge", "guard", "exclusive-after-fork"];
    let files = names.map(|name| fixture(&format!("scenarios/{name}.scn")));
    for image in images() {
        let output =
            program(&["verify", "--kernel", &image]).args(&files).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    }
}

/// The processes that a process has started.
fn children(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    children.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn a_kernel_that_is_lost_costs_one_scenario() {
    // What one scenario takes long enough to be killed in.
    let text = "mmap(0x40000000, 4K, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n\
        repeat 3000 {\nmprotect(0x40000000, 4K, PROT_NONE)\n}\n";
    for image in images() {
        let files: Vec<String> = (0..6).map(|n| file(&format!("long-{n}.scn"), text)).collect();
        let mut verify = program(&["verify", "--kernel", &image]);
        let verify = verify.args(&files).stdout(Stdio::piped()).spawn().expect("the program runs");
        let is_qemu = |pid: &String| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("qemu-system"))
        };
        // The first machine only says what it is; those after it play.
        let mut seen = Vec::new();
        let victim = (0..1200).find_map(|_| {
            sleep(Duration::from_millis(100));
            for pid in children(verify.id()).into_iter().filter(is_qemu) {
                if !seen.contains(&pid) {
                    seen.push(pid);
                }
            }
            (seen.len() >= 2).then(|| seen[seen.len() - 1].clone())
        });
        let victim = victim.expect("machines are booted");
        sleep(Duration::from_secs(8));
        Command::new("kill").args(["-9", &victim]).status().expect("it is our own");
        let output = verify.wait_with_output().expect("it runs");
        let text = stdout(&output);
        let equal = text.matches("3001 of 3001 calls equal").count();
        assert!(equal >= files.len() - 1, "{text}");
    }
}

#[test]
fn machines_end_with_the_program_however_it_ends() {
    let text = "mmap(0x40000000, 4K, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n\
        repeat 100000 {\nmprotect(0x40000000, 4K, PROT_NONE)\n}\n";
    for image in images() {
        let file = file("endless.scn", text);
        let mut verify = program(&["verify", "--kernel", &image, &file]);
        let mut verify = verify.stdout(Stdio::null()).spawn().expect("the program runs");
        let command = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let machine = (0..1200).find_map(|_| {
            sleep(Duration::from_millis(50));
            children(verify.id()).into_iter().find(|pid| command(pid).contains("qemu-system"))
        });
        let machine = machine.expect("a machine is booted");
        assert!(command(&machine).contains("-nic\0none"), "{}", command(&machine));
        let limits = fs::read_to_string(format!("/proc/{machine}/limits")).unwrap_or_default();
        let limit = limits.lines().find(|line| line.starts_with("Max address space")).unwrap_or_default();
        assert!(!limit.contains("unlimited"), "{limit}");
        // By SIGKILL: it can do nothing about it.
        verify.kill().expect("it runs");
        verify.wait().expect("it was started");
        let is_gone = || !command(&machine).contains("qemu-system");
        let gone = (0..200).any(|_| {
            sleep(Duration::from_millis(50));
            is_gone()
        });
        assert!(gone, "the machine ends too");
    }
}
