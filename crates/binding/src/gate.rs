//! A gate that one thread of JavaScript holds open while another passes. Node ends a worker by ending the workers
//! below it, and an addon that is just being registered there may abort the whole process. A thread that waits in
//! native code can't be ended, and so neither can what it waits for: the owner of a worker keeps watch here while
//! the worker registers such an addon.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use napi_derive::napi;
use parking_lot::{Condvar, Mutex};

use crate::arguments;

/// The longest that one call may keep its thread.
const MAX_WAIT_MS: u64 = 2_000;

#[derive(Clone, Copy, Eq, PartialEq)]
enum Gate {
    /// Somebody keeps watch; one thread may enter.
    Watched,
    Entered,
    Left,
}

/// By number, which the threads have agreed on. Every entry belongs to a thread that keeps watch at this moment.
static GATES: Mutex<Option<HashMap<u32, Gate>>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();

/// Opens a gate and waits until the thread that enters it has left, or for so long; whether it has.
#[napi(catch_unwind)]
pub fn gate_watch(gate: f64, timeout_ms: f64) -> napi::Result<bool> {
    let (gate, until) = (arguments::job(gate)?, deadline(timeout_ms)?);
    GATES.lock().get_or_insert_default().insert(gate, Gate::Watched);
    CHANGED.notify_all();
    let has_left = wait(gate, until, Gate::Left, None);
    GATES.lock().get_or_insert_default().remove(&gate);
    Ok(has_left)
}

/// Waits until somebody keeps watch at a gate, or for so long; whether this thread has entered.
#[napi(catch_unwind)]
pub fn gate_enter(gate: f64, timeout_ms: f64) -> napi::Result<bool> {
    let (gate, until) = (arguments::job(gate)?, deadline(timeout_ms)?);
    Ok(wait(gate, until, Gate::Watched, Some(Gate::Entered)))
}

/// Leaves a gate; without one that was entered it does nothing.
#[napi(catch_unwind)]
pub fn gate_leave(gate: f64) -> napi::Result<()> {
    let gate = arguments::job(gate)?;
    let mut gates = GATES.lock();
    if let Some(state) = gates.get_or_insert_default().get_mut(&gate) {
        *state = Gate::Left;
        CHANGED.notify_all();
    }
    Ok(())
}

fn deadline(timeout_ms: f64) -> napi::Result<Instant> {
    let time = Duration::from_millis(arguments::integer("timeoutMs", timeout_ms, MAX_WAIT_MS)?);
    Ok(Instant::now() + time)
}

/// Waits for a state and puts the next one in its place, so that of two threads only one enters.
fn wait(gate: u32, until: Instant, wanted: Gate, next: Option<Gate>) -> bool {
    let mut gates = GATES.lock();
    loop {
        if let Some(state) = gates.as_mut().and_then(|gates| gates.get_mut(&gate))
            && *state == wanted
        {
            *state = next.unwrap_or(wanted);
            return true;
        }
        if CHANGED.wait_until(&mut gates, until).timed_out() {
            return false;
        }
    }
}
