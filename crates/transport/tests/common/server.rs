//! A node in a process of its own, so that what it holds can be measured from outside.

use std::{
    io::{BufRead, BufReader, Lines, Read},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

/// Resident bytes that change less than this in a second rest.
const RESTING_BYTES: usize = 100_000;

/// The process; it ends with this.
pub struct Server {
    process: Child,
    /// Kept open: the harness says after a minute that a test takes long, and would fail.
    _output: Lines<BufReader<ChildStdout>>,
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
        let address = output
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("serves ")?.parse().ok());
        Self {
            process,
            _output: output,
            address: address.unwrap(),
        }
    }

    /// Its resident bytes once they no longer change.
    pub fn rests(&self) -> usize {
        let mut last = usize::MAX;
        loop {
            let now = self.resident();
            if now.abs_diff(last) < RESTING_BYTES {
                return now;
            }
            last = now;
            std::thread::sleep(Duration::from_secs(1));
        }
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

/// Tells the process that started this one where it serves, and returns when that one ends.
pub fn serve(address: SocketAddr) {
    println!("\nserves {address}");
    let _ = std::io::stdin().read(&mut [0]);
}
