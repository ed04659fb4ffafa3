//! Work on native threads, whose result comes back through the queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::environment;
use crate::failure::Failure;
use crate::queue;

/// Jobs that wait or run in each pool, of all JavaScript threads.
static COMPUTE: AtomicUsize = AtomicUsize::new(0);
static SLOW: AtomicUsize = AtomicUsize::new(0);
static DISK: AtomicUsize = AtomicUsize::new(0);

/// How many jobs wait or run in each pool.
pub(crate) fn under_way() -> [(&'static str, usize); 3] {
    let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    [
        ("compute", read(&COMPUTE)),
        ("slow", read(&SLOW)),
        ("disk", read(&DISK)),
    ]
}

/// Counts a job until it is dropped.
struct UnderWay(&'static AtomicUsize);

impl UnderWay {
    fn new(count: &'static AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs `work` on the pool for computation and completes `job` with what it gives.
///
/// The pool is not rayon's global one: hashing on the JavaScript thread uses that, and must not wait behind jobs.
pub(crate) fn spawn(
    job: u32,
    work: impl FnOnce() -> Result<Vec<u8>, Failure> + Send + 'static,
) -> Result<(), Failure> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    spawn_on(&POOL, 0, &COMPUTE, job, work)
}

/// As [`spawn`], for what takes long: stretching a passphrase never delays the short jobs.
pub(crate) fn spawn_slow(
    job: u32,
    work: impl FnOnce() -> Result<Vec<u8>, Failure> + Send + 'static,
) -> Result<(), Failure> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    // At `high` hardness each thread holds 256 MiB.
    spawn_on(&POOL, 2, &SLOW, job, work)
}

/// As [`spawn`], for what waits for the disk: several at once let the file system put their syncs together.
pub(crate) fn spawn_disk(
    job: u32,
    work: impl FnOnce() -> Result<Vec<u8>, Failure> + Send + 'static,
) -> Result<(), Failure> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    spawn_on(&POOL, 4, &DISK, job, work)
}

/// `threads` of zero is one for each processor.
fn spawn_on(
    pool: &'static OnceLock<Option<ThreadPool>>,
    threads: usize,
    count: &'static AtomicUsize,
    job: u32,
    work: impl FnOnce() -> Result<Vec<u8>, Failure> + Send + 'static,
) -> Result<(), Failure> {
    let build = || {
        ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|_| "espalier-job".to_owned())
            // Everything is caught below; the default, which ends the process, is no answer to what isn't.
            .panic_handler(drop)
            .build()
    };
    let Some(pool) = pool.get_or_init(|| build().ok()) else {
        return Err(Failure::new("LIMIT_EXCEEDED", "the system gives no threads"));
    };
    let environment = environment::current()?;
    let counted = UnderWay::new(count);
    pool.spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        let result = result.unwrap_or_else(|payload| Err(Failure::panic(&*payload)));
        drop(counted);
        queue::complete_job(&Arc::clone(&environment), job, result);
    });
    Ok(())
}
