//! A node in a process of its own, so that what it holds can be measured from outside.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

/// Bytes that change less than this in a second rest.
const RESTING_BYTES: usize = 100_000;

/// The process; it ends with this.
pub struct Server {
    process: Child,
    /// Kept open: the harness says after a minute that a test takes long, and would fail.
    output: Lines<BufReader<ChildStdout>>,
    pub address: SocketAddr,
}

impl Server {
    /// Starts this test file again as a process that runs only its ignored test `server`, which calls [`serve`].
    pub fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["server", "--exact", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = line_after(&mut output, "serves ").parse().unwrap();
        Self {
            process,
            output,
            address,
        }
    }

    /// Its resident bytes once they no longer change.
    pub fn rests(&self) -> usize {
        resting(|| self.resident())
    }

    /// The bytes that it says it holds, once they no longer change.
    pub fn holds(&mut self) -> usize {
        resting(|| {
            writeln!(self.process.stdin.as_mut().unwrap(), "?").unwrap();
            line_after(&mut self.output, "holds ").parse().unwrap()
        })
    }

    fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        1024 * kilobytes
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn resting(mut bytes: impl FnMut() -> usize) -> usize {
    let mut last = usize::MAX;
    loop {
        let now = bytes();
        if now.abs_diff(last) < RESTING_BYTES {
            return now;
        }
        last = now;
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// What follows `start` in the next line that begins so.
fn line_after(output: &mut Lines<BufReader<ChildStdout>>, start: &str) -> String {
    let mut lines = output.map_while(Result::ok);
    let found = lines.find_map(|line| line.strip_prefix(start).map(str::to_owned));
    found.unwrap_or_else(|| panic!("the server ended before it wrote {start}"))
}

/// Tells the process that started this one where it serves, and each time that it is asked what this one holds;
/// returns when that one ends.
pub fn serve(address: SocketAddr, holds: impl Fn() -> usize) {
    println!("\nserves {address}");
    for _ in std::io::stdin().lines().map_while(Result::ok) {
        println!("holds {}", holds());
    }
}
