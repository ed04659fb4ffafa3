//! Espalier's transport between two native programs, commanded as the plain one is.

mod client;
mod node;
mod server;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let failed = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["server"] => server::run(),
        ["client", address, id] => client::run(address, id),
        _ => Err("usage: espalier-bench-transport server | client ADDRESS ID".into()),
    };
    if let Err(error) = failed {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
