//! The plain native side of the benchmarks. Each program reads one JSON command a line on standard input
//! and answers one JSON line, so that the benchmark can take turns between it and the others.

use espalier_bench_native::{compute, quinn_client, quinn_server};

fn main() {
    // The first random call of a process may wait for entropy; it belongs into no measurement.
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).expect("the system has randomness");

    let words: Vec<String> = std::env::args().skip(1).collect();
    let failed = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["compute"] => compute::run(),
        ["quinn-server"] => quinn_server::run(&seed),
        ["quinn-client", server] => quinn_client::run(&seed, server),
        _ => Err("usage: espalier-bench-native compute | quinn-server | quinn-client ADDRESS".into()),
    };
    if let Err(error) = failed {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
