//! bench.

use crate::{parsed, ptelab, refused, stderr};

#[test]
fn bench_has_its_stable_fields() {
    let args = [
        "bench",
        "--layout",
        "t2,single",
        "--size",
        "4M",
        "--rounds",
        "2",
        "--json",
        "--machine",
        "plain,counting",
    ];
    let output = ptelab(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let json = parsed(&output);
    assert!(json["host"]["kernel"].is_string() && json["host"]["date"].is_string(), "{json}");
    let rows = json["rows"].as_array().expect("rows");
    // Two layouts, three ports, four kernels, two machines.
    assert_eq!(rows.len(), 2 * 3 * 4 * 2);
    for row in rows {
        assert!(row["ns_per_entry"].as_f64().is_some_and(|ns| ns > 0.0), "{row}");
        assert!(row["host_ns_per_entry"].is_null(), "{row}");
        let entries = if row["layout"] == "t2" { 1024 } else { 1 };
        assert_eq!(row["entries"], entries);
    }
}

#[test]
fn bench_measures_the_host_or_says_why_not() {
    let output = ptelab(&[
        "bench",
        "--layout",
        "t3,mixed",
        "--arch",
        "arm64",
        "--size",
        "8M",
        "--rounds",
        "2",
        "--json",
        "--vs-host",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let json = parsed(&output);
    for layout in ["t3", "mixed"] {
        let measured = json["rows"].as_array().expect("rows").iter().any(|row| {
            row["layout"] == layout && row["host_ns_per_entry"].as_f64().is_some_and(|ns| ns > 0.0)
        });
        let skipped = json["skipped"].as_array().expect("a list").iter().any(|skipped| {
            skipped["layout"] == layout && skipped["reason"].as_str().is_some_and(|why| !why.is_empty())
        });
        assert!(measured != skipped, "{json}");
    }
}

#[test]
fn bench_refuses_what_it_does_not_know() {
    refused(&["bench", "--layout", "t4"], &["no layout `t4`", "t1, t2, t3"]);
    refused(&["bench", "--machine", "fast"], &["plain, counting, recording"]);
    refused(&["bench", "--rounds", "0"], &["--rounds"]);
    refused(&["bench", "--size", "1X"], &["K, M, G or T"]);
    refused(&["bench", "--scale", "1G", "--vs-host"], &["--vs-host"]);
    refused(
        &["bench", "--layout", "t3", "--size", "4M", "--rounds", "1", "--save", "/nonexistent/folder"],
        &["/nonexistent/folder"],
    );
}
