//! The completion queue: whatever finishes on other threads waits here, and one wake-up of the JavaScript thread
//! drains all of it.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use napi::Status;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::arguments;
use crate::bytes::{self, ByteArray};
use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::faults::{self, Place};

/// Weak: alone it does not keep the process alive.
type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

/// Bytes in one record of a drain: kind, id, payload bytes, status; u32 little-endian.
const RECORD_BYTES: usize = 16;
/// The kind of a finished job; others belong to the transport.
const KIND_JOB: u32 = 1;
const STATUS_OK: u32 = 0;
const STATUS_FAILED: u32 = 1;

/// See the module.
pub(crate) struct Queue {
    /// Set by the first completion after a drain began; the others share its wake-up.
    pending: AtomicBool,
    state: Mutex<State>,
    /// Held while the function is called, so that it is never called after it was dropped.
    wake: Mutex<Option<Wake>>,
}

#[derive(Default)]
struct State {
    closed: bool,
    /// Bounded by the jobs in flight, which ts/native/queue.ts limits.
    records: VecDeque<[u32; 4]>,
    /// Payloads of drained and waiting records, by job. Bounded as `records`.
    payloads: HashMap<u32, Vec<u8>>,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            pending: AtomicBool::new(false),
            state: Mutex::default(),
            wake: Mutex::new(None),
        }
    }

    /// Nothing is accepted and nobody is woken from here on.
    pub(crate) fn close(&self) {
        *self.state.lock() = State {
            closed: true,
            ..State::default()
        };
        let wake = self.wake.lock().take();
        drop(wake);
    }

    /// Results that wait for the JavaScript thread.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().records.len()
    }

    fn push(&self, job: u32, status: u32, payload: Vec<u8>) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        state.records.push_back([KIND_JOB, job, length, status]);
        state.payloads.insert(job, payload);
        drop(state);
        if !self.pending.swap(true, Ordering::AcqRel) {
            self.wake();
        }
    }

    /// A fault in here must not cost the next completions their wake-up.
    fn wake(&self) {
        let woken = catch_unwind(AssertUnwindSafe(|| self.call_wake()));
        if woken.is_err() {
            self.rearm();
        }
    }

    fn call_wake(&self) {
        faults::trip(Place::Wake);
        if let Some(wake) = &*self.wake.lock() {
            // Refused only while the environment ends, when nobody waits for an answer any more.
            let _ = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    /// Before looking at what waits: what comes later wakes again, and none is forgotten.
    pub(crate) fn rearm(&self) {
        self.pending.store(false, Ordering::Release);
    }
}

/// Wakes the JavaScript thread once the network thread, which calls this, has dealt with everything that is
/// ready in this turn: all of that shares one wake-up.
pub(crate) fn wake_soon(environment: &Arc<Environment>) {
    if environment.queue.pending.swap(true, Ordering::AcqRel) {
        return;
    }
    let alarm = Alarm(environment.clone());
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => {
            runtime.spawn(async move {
                tokio::task::yield_now().await;
                drop(alarm);
            });
        }
        Err(_) => drop(alarm),
    }
}

/// Wakes when it is dropped, also with a runtime that ends.
struct Alarm(Arc<Environment>);

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.queue.wake();
    }
}

/// Hands a job's result to the JavaScript thread. Callable from any thread.
pub(crate) fn complete_job(environment: &Arc<Environment>, job: u32, result: Result<Vec<u8>, Failure>) {
    match result {
        Ok(payload) => environment.queue.push(job, STATUS_OK, payload),
        Err(failure) => environment
            .queue
            .push(job, STATUS_FAILED, failure.to_string().into_bytes()),
    }
}

/// Names the function that is called on this thread whenever completions wait.
#[napi(catch_unwind)]
pub fn queue_attach(env: napi::Env, wake: Function<'_, (), ()>) -> napi::Result<()> {
    let environment = environment::current()?;
    let wake = wake.build_threadsafe_function::<()>().weak::<true>().build()?;
    *environment.queue.wake.lock() = Some(wake);
    // Hooks run last in, first out: this one closes the queue while the function is still whole.
    env.add_env_cleanup_hook(environment, |environment| {
        environment::survive(|| environment.queue.close());
    })?;
    Ok(())
}

/// While held, what is in flight keeps the process alive.
#[napi(catch_unwind)]
pub fn queue_hold(env: napi::Env, held: bool) -> napi::Result<()> {
    let environment = environment::current()?;
    let mut wake = environment.queue.wake.lock();
    let Some(wake) = wake.as_mut() else { return Ok(()) };
    // Deprecated in favour of building it strong or weak once; here it has to change with what is in flight.
    #[allow(deprecated)]
    if held { wake.refer(&env) } else { wake.unref(&env) }
}

/// Fills `records` with the oldest completions and answers their number.
#[napi(catch_unwind)]
pub fn queue_drain(mut records: ByteArray<'_>) -> napi::Result<u32> {
    let environment = environment::current()?;
    let queue = &environment.queue;
    queue.rearm();
    let mut state = queue.state.lock();
    let drained = bytes::fill(&mut records, &[], |records| {
        let mut count = 0;
        for target in records.chunks_exact_mut(RECORD_BYTES) {
            let Some(record) = state.records.pop_front() else {
                break;
            };
            for (field, value) in target.chunks_exact_mut(4).zip(record) {
                field.copy_from_slice(&value.to_le_bytes());
            }
            count += 1;
        }
        Ok(count)
    })?;
    Ok(drained)
}

/// Moves the payload of a drained job into `payload_out`, which has exactly its size.
#[napi(catch_unwind)]
pub fn queue_take(job: f64, mut payload_out: ByteArray<'_>) -> napi::Result<()> {
    let environment = environment::current()?;
    let job = arguments::job(job)?;
    let payload = environment.queue.state.lock().payloads.remove(&job);
    let payload = payload.ok_or_else(|| Failure::argument("job", "it has no payload"))?;
    bytes::put(&mut payload_out, 0, &payload)?;
    Ok(())
}
