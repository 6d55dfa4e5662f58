//! A program that broke a check, as a scenario and as a C program for a real kernel.

use super::case::Found;
use ptelab_scenario::{Access, Call, Line, ThpKey};
use std::fmt::Write as _;

/// The scenario, with what it broke as a comment. `bug` names what was broken on purpose, if anything was.
pub fn scenario_text(found: &Found, bug: Option<&str>) -> String {
    let mut text = format!("# {}\n", found.violation.check.law());
    for line in found.violation.text.lines() {
        let _ = writeln!(text, "# {line}");
    }
    let _ = writeln!(
        text,
        "# on {}{}",
        found.machine,
        bug.map_or_else(String::new, |bug| format!(", with {bug}"))
    );
    for line in &found.lines {
        let _ = writeln!(text, "{line}");
    }
    text
}

const HEAD: &str = r#"#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <errno.h>
#include <sched.h>
#include <unistd.h>

/* One line at a time, whichever process it is of. */
static volatile int *turn;
static sigjmp_buf jump;

static void on_signal(int sig) { siglongjmp(jump, sig); }

static void result(int line, const char *call, long got)
{
	printf("%3d %s = %ld%s%s\n", line, call, got, got == -1 ? " " : "", got == -1 ? strerror(errno) : "");
	fflush(stdout);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	if (!file || fputs(text, file) < 0 || fclose(file))
		perror(path);
}

static void touch(volatile char *at, size_t len, int write)
{
	for (size_t i = 0; i < len; i += 4096)
		if (write) at[i] = 1; else (void)at[i];
}

int main(void)
{
	int me = 1, sig;
	turn = mmap(0, 4096, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0);
	signal(SIGSEGV, on_signal);
	signal(SIGBUS, on_signal);
"#;

const TAIL: &str = r"	while (wait(0) > 0)
		;
	return 0;
}
";

/// A C program that makes the same calls on a real kernel, as root where sysfs is written, and prints what they come to.
/// Calls that only the emulator has are left as comments.
pub fn c_program(lines: &[Line]) -> String {
    let mut text = HEAD.to_owned();
    let mut children = 1;
    for (i, line) in lines.iter().enumerate() {
        let pid = line.pid.unwrap_or(1);
        let shown = line.call.to_string().replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(text, "\twhile (*turn < {i})\n\t\tsched_yield();\n\tif (me == {pid}) {{");
        let _ = match &line.call {
            Call::Fork => {
                children += 1;
                writeln!(text, "\t\tif (fork() == 0)\n\t\t\tme = {children};")
            }
            Call::ExitGroup { status } => writeln!(text, "\t\t*turn = {};\n\t\t_exit({status});", i + 1),
            call => writeln!(
                text,
                "\t\tif (!(sig = sigsetjmp(jump, 1)))\n\t\t\tresult({i}, \"{shown}\", (long)({}));\n\t\telse\n\t\t\tprintf(\"%3d %s: signal %d\\n\", {i}, \"{shown}\", sig);",
                c_call(call)
            ),
        };
        // After a fork both sides come here; the parent takes the next turn.
        let _ = writeln!(text, "\t\tif (me == {pid})\n\t\t\t*turn = {};\n\t}}", i + 1);
    }
    text + TAIL
}

fn c_call(call: &Call) -> String {
    match call {
        Call::Mmap { addr, len, prot, flags, fd, offset } => {
            // Placed exactly, or not at all: MAP_FIXED_NOREPLACE.
            let flags = if *addr != 0 && flags & 0x10 == 0 { flags | 0x10_0000 } else { *flags };
            format!("mmap((void *){addr:#x}, {len}, {prot}, {flags:#x}, {fd}, {offset})")
        }
        Call::Munmap { addr, len } => format!("munmap((void *){addr:#x}, {len})"),
        Call::Mprotect { addr, len, prot } => format!("mprotect((void *){addr:#x}, {len}, {prot})"),
        Call::Madvise { addr, len, advice } => format!("madvise((void *){addr:#x}, {len}, {advice})"),
        Call::Mremap { old_addr, old_len, new_len, flags, new_addr } => {
            format!("mremap((void *){old_addr:#x}, {old_len}, {new_len}, {flags}, (void *){new_addr:#x})")
        }
        // Reclaim of what MADV_FREE gave up is a part of MADV_PAGEOUT.
        Call::Reclaim { addr, len } => format!("madvise((void *){addr:#x}, {len}, MADV_PAGEOUT)"),
        Call::Memset { addr, byte, len } => format!("(memset((void *){addr:#x}, {byte}, {len}), 0)"),
        Call::ExplicitBzero { addr, len } => format!("(memset((void *){addr:#x}, 0, {len}), 0)"),
        Call::Touch { addr, len, access } => {
            format!("(touch((void *){addr:#x}, {len}, {}), 0)", u8::from(*access == Access::Write))
        }
        Call::Check { addr, .. } => format!("*(volatile unsigned char *){addr:#x}"),
        Call::ClearRefs { what } => format!("(write_file(\"/proc/self/clear_refs\", \"{what}\"), 0)"),
        Call::Thp { size, mode } => {
            let file = match size {
                ThpKey::Enabled => "enabled".to_owned(),
                ThpKey::Kb(kb) => format!("hugepages-{kb}kB/enabled"),
            };
            let folder = "/sys/kernel/mm/transparent_hugepage";
            format!("(write_file(\"{folder}/{file}\", \"{}\"), 0)", mode.name())
        }
        other => format!("0 /* {other} */"),
    }
}
