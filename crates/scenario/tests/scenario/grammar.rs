//! What may be written, and how it is printed.

use ptelab_scenario::{Expect, Item, Line, Scenario, parse};
use ptelab_uapi::{Access, Call, Errno, MapFlags, Prot, Signal, ThpKey, ThpMode};

const EXAMPLE: &str = r#"# A comment of its own line

thp("64kB", "always")
thp("enabled", "never")
mmap(0x40000000, 256K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x40000000
memset(0x40000000, 7, 128K)
explicit_bzero(0x40020000, 4K)
touch(0x40000000, 256K, READ)
touch(0x40000000, 256K, WRITE)
check(0x40000000, 7)
madvise(0x40000000, 4K, MADV_DONTFORK)
madvise(0x40000000, 4K, 77) = -1 EINVAL
mremap(0x40000000, 4K, 8K, 0) = -1 ENOMEM
mremap(0x40000000, 4K, 8K, MREMAP_MAYMOVE|MREMAP_FIXED, 0x50000000) # moved
fork() = 2
[pid 2] mprotect(0x40000000, 5000, PROT_NONE)
[pid 2] exit_group(-1)
clear_refs(4)
numa(2)
numa_alloc(64)
numa_scan(0x40000000, 256K)
time("on")
repeat 40 { # outer
  mprotect(0x40000000, 1G, PROT_READ) = 0
  repeat 0 {
    #inner

    touch(NULL, 1, WRITE) = SIGSEGV
  } # done
}
time("off")
munmap(0x40000000, 256K)
dump(0x40000000, 256K, "a \"name\"")
"#;

/// The only line of a text.
fn line(text: &str) -> Line {
    let scenario = parse(text).unwrap_or_else(|mistakes| panic!("{}", mistakes.render("line", text, false)));
    match <[Item; 1]>::try_from(scenario.items) {
        Ok([Item::Line(line)]) => line,
        other => panic!("not one line: {other:?}"),
    }
}

/// How the only line of a text is printed.
fn printed(text: &str) -> String {
    line(text).to_string()
}

#[test]
fn canonical_text_prints_as_it_is() {
    let scenario = parse(EXAMPLE).expect("the example is right");
    assert_eq!(scenario.to_string(), EXAMPLE);
    let names: Vec<_> = scenario.steps().map(|step| step.line.call.name()).collect();
    assert_eq!(names.len() as u128, scenario.step_count());
    assert_eq!(scenario.step_count(), 20 + 40 + 3);
}

#[test]
fn layout_does_not_matter() {
    let tidy = parse("repeat 2 {\n  munmap(0x1000, 4K) = 0 # x\n}\n").expect("right");
    for text in [
        "repeat 2{\nmunmap(0x1000,4K)=0# x\n}",
        "\u{feff}repeat 2 {\r\n\tmunmap ( 0x1000 , 4K ) = 0 # x \t\r\n}\r\n",
        "  repeat\t2 {\n  munmap(0x1000, 4096) = 00 # x\n  }  \n",
    ] {
        assert_eq!(parse(text).as_ref(), Ok(&tidy), "{text:?}");
    }
}

#[test]
fn blank_lines_are_those_between_newlines() {
    let items = |text| parse(text).map(|scenario| scenario.items);
    assert_eq!(items(""), Ok(vec![]));
    assert_eq!(items("\n"), Ok(vec![Item::Blank]));
    assert_eq!(items(" \t\r\n\r\n"), Ok(vec![Item::Blank, Item::Blank]));
    assert_eq!(items("#\n# a \n"), Ok(vec![Item::Comment(String::new()), Item::Comment(" a".into())]));
}

#[test]
fn numbers_combine() {
    let texts = [
        ("munmap(0x40000000 + 64K, 010)", "munmap(0x40010000, 8)"),
        ("munmap(0x1000 | 0x2000 + 0x1000, 3K + 1K)", "munmap(0x3000, 4K)"),
        ("munmap(NULL + 4K, 1T)", "munmap(0x1000, 1T)"),
        ("munmap(0, 1536K)", "munmap(NULL, 1536K)"),
        ("munmap(0, 0x100000000)", "munmap(NULL, 4G)"),
        (
            "munmap(0xffffffffffffffff, 18446744073709551615)",
            "munmap(0xffffffffffffffff, 18446744073709551615)",
        ),
        ("mprotect(0x1000, 4K, 64)", "mprotect(0x1000, 4K, 0x40)"),
        ("mprotect(0x1000, 4K, PROT_NONE | 3)", "mprotect(0x1000, 4K, PROT_READ|PROT_WRITE)"),
        ("madvise(0x1000, 4K, 14)", "madvise(0x1000, 4K, MADV_HUGEPAGE)"),
        ("madvise(0x1000, 4K, 100 + 2)", "madvise(0x1000, 4K, MADV_GUARD_INSTALL)"),
        (
            "mmap(0, 2M, 0, MAP_ANON|0x2, 3, 4K)",
            "mmap(NULL, 2M, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, 3, 0x1000)",
        ),
        ("mremap(0x1000, 4K, 0, MREMAP_DONTUNMAP, 0)", "mremap(0x1000, 4K, 0, MREMAP_DONTUNMAP)"),
    ];
    for (text, canonical) in texts {
        assert_eq!(printed(text), canonical);
    }
}

#[test]
fn results() {
    let texts = [
        ("fork() = 0", Some(Expect::Value(0))),
        ("fork() = 0x40000000 + 4K", Some(Expect::Value(0x4000_1000))),
        ("fork() = NULL", Some(Expect::Value(0))),
        ("fork() = -1 EFAULT", Some(Expect::Errno(Errno::EFAULT))),
        ("fork() = -1 EFAULT (Bad address)", Some(Expect::Errno(Errno::EFAULT))),
        ("fork() = -1 EAGAIN (Resource's (still) gone) # x", Some(Expect::Errno(Errno::EAGAIN))),
        ("fork() = SIGBUS", Some(Expect::Signal(Signal::BUS))),
        ("fork() = ?", None),
        ("fork()", None),
    ];
    for (text, expect) in texts {
        assert_eq!(line(text).expect, expect, "{text}");
    }
}

#[test]
fn values_of_arguments() {
    assert_eq!(
        line("thp(\"2048kB\", \"inherit\")").call,
        Call::Thp { size: ThpKey::Kb(2048), mode: ThpMode::Inherit }
    );
    assert_eq!(
        line("mmap(0x1000, 4K, PROT_EXEC, MAP_SHARED, -1, 8K)").call,
        Call::Mmap {
            addr: 0x1000,
            len: 4096,
            prot: Prot::EXEC,
            flags: MapFlags::SHARED,
            fd: -1,
            offset: 8192
        }
    );
    assert_eq!(
        line("touch(0x1000, 1, WRITE)").call,
        Call::Touch { addr: 0x1000, len: 1, access: Access::Write }
    );
    assert_eq!(line("exit_group(-2147483648)").call, Call::ExitGroup { status: i32::MIN });
    assert_eq!(
        line(r#"dump(0, 0, "\u{1F600}\t\\")"#).call,
        Call::Dump { addr: 0, len: 0, name: "\u{1f600}\t\\".into() }
    );
}

#[test]
fn processes() {
    assert_eq!(line("[pid 3] fork()").pid, Some(3));
    assert_eq!(line("[ pid  0x10 ] fork()").pid, Some(16));
    assert_eq!(line("fork()").pid, None);
}

#[test]
fn equality_does_not_see_source_lines() {
    let (first, second) = (line("fork() # a"), line("fork() # a"));
    assert_eq!(first, Line { line: 99, ..second.clone() });
    assert_ne!(first, Line { comment: None, ..second.clone() });
    assert_ne!(first, Line { pid: Some(1), ..second });
}

#[test]
fn dump_names_may_repeat() {
    let text = "dump(0, 4K, \"a\")\ndump(0, 4K, \"a\")\n";
    let parsed: Result<Scenario, _> = parse(text);
    assert_eq!(parsed.map(|scenario| scenario.step_count()), Ok(2));
}
