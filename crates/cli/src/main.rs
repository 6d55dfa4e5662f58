//! tmp
fn main() {
    let (mut d, mut de, mut c, mut ce) = (0, 0, 0, 0);
    for f in std::env::args().skip(2) {
        let g = ptelab::golden::Golden::parse(&std::fs::read(&f).unwrap()).unwrap();
        match g.verify(&f) {
            Ok(v) => {
                d += v.dumps; de += v.dumps_equal; c += v.calls; ce += v.calls_equal;
                if !v.is_equal() { println!("{f}"); for x in &v.differences { println!("   {x}"); } }
            }
            Err(e) => println!("{f}: {e}"),
        }
    }
    println!("{de} of {d} dumps equal, {ce} of {c} calls equal");
}
