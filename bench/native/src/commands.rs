//! Commands in, measurements out.

use std::{
    error::Error,
    io::{BufRead, Write},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

pub type Failure = Box<dyn Error + Send + Sync>;

/// One line of standard input.
pub struct Command(Value);

impl Command {
    pub fn op(&self) -> &str {
        self.0["op"].as_str().unwrap_or_default()
    }

    pub fn number(&self, name: &str) -> Result<usize, Failure> {
        let number = self.0[name]
            .as_u64()
            .and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| format!("the command names no {name}").into())
    }

    pub fn flag(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or_default()
    }

    pub fn duration(&self) -> Result<Duration, Failure> {
        let seconds = self.0["seconds"].as_f64().ok_or("the command names no seconds")?;
        Ok(Duration::try_from_secs_f64(seconds)?)
    }
}

/// Answers every line of standard input until it ends.
pub fn serve(mut answer: impl FnMut(&Command) -> Result<Value, Failure>) -> Result<(), Failure> {
    for line in std::io::stdin().lock().lines() {
        let command = Command(serde_json::from_str(&line?)?);
        let answered = match command.op() {
            "cpu" => Ok(json!({ "cpuSeconds": cpu_seconds() })),
            "memory" => resident_bytes().map(|bytes| json!({ "rssBytes": bytes })),
            _ => answer(&command),
        };
        say(&answered.unwrap_or_else(|error| json!({ "error": error.to_string() })))?;
    }
    Ok(())
}

pub fn say(value: &Value) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()?;
    Ok(())
}

/// Calls `work` in growing batches until `time` has passed.
pub fn repeat(time: Duration, mut work: impl FnMut()) -> Value {
    let (mut count, mut batch) = (0_u64, 1_u64);
    for _ in 0..3 {
        work();
    }
    let (started, cpu) = (Instant::now(), cpu_seconds());
    loop {
        for _ in 0..batch {
            work();
        }
        count += batch;
        let elapsed = started.elapsed();
        if elapsed >= time {
            return measured(count, elapsed, cpu_seconds() - cpu);
        }
        // About 100 looks at the clock in all, so that it costs nothing.
        if elapsed < time / 100 {
            batch *= 2;
        }
    }
}

pub fn measured(count: u64, elapsed: Duration, cpu_seconds: f64) -> Value {
    json!({ "count": count, "seconds": elapsed.as_secs_f64(), "cpuSeconds": cpu_seconds })
}

/// Adds how long the middle one and all but one in a hundred took.
pub fn with_percentiles(mut measured: Value, mut took_micros: Vec<f64>) -> Value {
    took_micros.sort_by(f64::total_cmp);
    let at = |share: usize| {
        took_micros.get((took_micros.len() * share / 1000).min(took_micros.len().saturating_sub(1)))
    };
    measured["p50Micros"] = json!(at(500));
    measured["p99Micros"] = json!(at(990));
    measured
}

/// Memory of this process that is in RAM.
fn resident_bytes() -> Result<u64, Failure> {
    // proc(5): the second field of statm counts resident pages; they are of 4 KiB wherever this is measured.
    let statm = std::fs::read_to_string("/proc/self/statm").map_err(|_| "memory is read on Linux only")?;
    let pages = statm.split(' ').nth(1).ok_or("statm has no second field")?;
    Ok(pages.parse::<u64>()? * 4096)
}

/// User and system time of this process.
#[allow(unsafe_code)]
pub fn cpu_seconds() -> f64 {
    // SAFETY: `rusage` is plain data, and the kernel fills the one that it is given.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    #[allow(clippy::cast_precision_loss)]
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
