//! The cost model against what real kernels took.

use ptelab::cost::{self, CostCheck, CostError, CostFile, Measured, Models, Prediction};
use ptelab::exec::Watch;
use ptelab::{Builder, HwKind, KernelRules};
use ptelab_testkit::root;
use std::fs;

fn files() -> Vec<Measured> {
    let mut paths: Vec<_> = fs::read_dir(root().join("fixtures/cost"))
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .collect();
    paths.sort();
    let measure = |path: &std::path::PathBuf| {
        let file = CostFile::parse(&fs::read(path).expect("it can be read")).expect("a cost file");
        let name = format!("{}.{}.{}.json", file.workload, file.arch, file.rules().expect("known").name);
        assert_eq!(path.file_name().and_then(|n| n.to_str()), Some(name.as_str()));
        file.measure().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    paths.iter().map(measure).collect()
}

/// Nobody edits coefficients by hand, and a calibration gives the same twice, whatever the order of the files.
#[test]
fn coefficients_are_a_fresh_calibration() {
    let files = files();
    let fresh = cost::calibrate(&files.iter().collect::<Vec<_>>());
    assert_eq!(fresh.to_toml(), include_str!("../../../measure/src/cost/coefficients.toml"));
    assert_eq!(&fresh, Models::built_in());
    assert_eq!(cost::calibrate(&files.iter().collect::<Vec<_>>()).to_toml(), fresh.to_toml());
}

#[test]
fn errors_are_within_the_bars_and_the_findings_of_the_series_come_out() {
    let check = CostCheck::new(Models::built_in(), &files());
    let left_out = check.left_out.expect("all files are there");
    assert!(left_out.within() && check.errors.expect("there are files").within(), "{}", check.to_text());
    assert_eq!(left_out.measurements, check.rows.len());
    assert_eq!(check.findings.len(), 4);
    for finding in &check.findings {
        assert!(finding.predicted >= finding.at_least, "{finding:?}");
    }
    assert!(check.passed());
}

/// Where files are missing, no calibration without one workload is made, and nothing is claimed of it.
#[test]
fn some_files_are_not_cross_validated() {
    let mut some: Vec<Measured> = files().into_iter().filter(|file| file.workload == "t2-64k").collect();
    let check = CostCheck::new(Models::built_in(), &some);
    assert!(check.rows.iter().all(|row| row.left_out.is_none() && row.predicted.is_some()));
    assert!(check.findings.is_empty() && check.passed());
    // A workload that calibration never saw is left out as it is; here its numbers are doubled.
    for file in &mut some {
        "unheard-of".clone_into(&mut file.workload);
        file.samples.iter_mut().for_each(|sample| sample.measured *= 2);
    }
    let check = CostCheck::new(Models::built_in(), &some);
    assert!(check.rows.iter().all(|row| row.left_out == row.predicted));
    assert!(!check.passed());
    assert!(check.to_text().contains("BEYOND"), "{}", check.to_text());
}

#[test]
fn a_kernel_without_data_borrows() {
    let models = Models::built_in();
    let of = |kernel: &str| {
        let chosen = models.choose("arm64", KernelRules::by_name(kernel).expect("known")).expect("measured");
        (chosen.model.kernel.as_str(), chosen.borrowed)
    };
    assert_eq!(of("6.16"), ("6.16", false));
    assert_eq!(of("6.17-rc1"), ("6.17", true), "it changes entries in batches, as 6.16 does not");
    assert_eq!(models.choose("generic", KernelRules::DEFAULT), None);
}

#[test]
fn every_call_is_predicted_in_its_order() {
    let text = "mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n\
        memset(0x40000000, 1, 64K)\nfork()\nrepeat 2 {\nmprotect(0x40000000, 64K, PROT_READ)\n\
        [pid 2] mprotect(0x40000000, 32K, PROT_NONE)\nmprotect(0x40001000, 0, PROT_READ)\n}\n\
        mprotect(0x50000000, 4K, PROT_READ)\n";
    let scenario = ptelab::scenario::parse(text).expect("a scenario");
    let mut vm = Builder::new("x86_64").hw(HwKind::Counting).build().expect("a machine");
    let prediction = Prediction::of(&mut *vm, &scenario, Watch::nobody()).expect("measured");
    let json = prediction.to_json();
    let calls = json["calls"].as_array().expect("a list");
    let texts: Vec<&str> = calls.iter().map(|call| call["call"].as_str().expect("text")).collect();
    let round = [
        "mprotect(0x40000000, 64K, PROT_READ)",
        "[pid 2] mprotect(0x40000000, 32K, PROT_NONE)",
        "mprotect(0x40001000, 0, PROT_READ)",
    ];
    assert_eq!(texts[..6], [round, round].concat());
    assert_eq!(calls[6]["result"], "-1 ENOMEM");
    let taken: Vec<u64> = calls.iter().map(|call| call["instructions"].as_u64().expect("a number")).collect();
    assert!(taken[0] > taken[3], "the second time, nothing changes: {taken:?}");
    assert!(taken[2] < taken[6] && taken[6] < taken[3], "the sooner it ends, the less it takes: {taken:?}");
    for call in calls {
        let by: f64 =
            call["by"].as_object().expect("an object").values().filter_map(serde_json::Value::as_f64).sum();
        assert!((by - call["instructions"].as_f64().expect("a number")).abs() < 3.0, "{call}");
    }
    let generic = Builder::new("generic").hw(HwKind::Counting).build();
    assert!(Prediction::of(&mut *generic.expect("a machine"), &scenario, Watch::nobody()).is_err());
}

#[test]
fn files_that_do_not_measure_their_calls_are_refused() {
    let path = root().join("fixtures/cost/t3-4k.arm64.6.17.json");
    let good = CostFile::parse(&fs::read(path).expect("a fixture")).expect("a cost file");
    let refused = |change: fn(&mut CostFile)| {
        let mut file = good.clone();
        change(&mut file);
        file.measure().expect_err("it is spoiled").to_string()
    };
    assert_eq!(refused(|file| "5.4".clone_into(&mut file.kernel)), "no rules for kernel \"5.4\"");
    assert!(refused(|file| "sparc".clone_into(&mut file.arch)).starts_with("no port `sparc`"));
    assert!(refused(|file| file.scenario.push("mprotect(".to_owned())).contains("does not parse"));
    assert!(refused(|file| file.instructions.swap(0, 1)).starts_with("measurement 1: mprotect("));
    assert!(refused(|file| drop(file.instructions.pop())).contains("measurement 2: the file ends"));
    assert!(refused(|file| file.instructions[1].min = 0).starts_with("measurement 2"));
    assert!(refused(|file| file.instructions.extend(file.instructions.clone())).contains("no more lines"));
    assert_eq!(refused(|file| file.instructions.clear()), "it has no measurement");
    assert!(matches!(CostFile::parse(b"{}"), Err(CostError::Json(_))));
}

#[test]
fn coefficients_are_checked() {
    let good = Models::built_in().to_toml();
    assert_eq!(&Models::parse(&good).expect("as it was written"), Models::built_in());
    let unknown = good.replacen("exchanges", "exchangs", 1);
    assert!(Models::parse(&unknown).expect_err("no such term").to_string().contains("`exchangs` of arm64"));
    let negative = good.replacen("call = ", "call = -", 1);
    assert!(Models::parse(&negative).expect_err("no such cost").to_string().contains("is not a cost"));
    assert!(Models::parse("workloads = 3").is_err());
}
