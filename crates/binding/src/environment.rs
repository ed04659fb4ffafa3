//! What belongs to one JavaScript thread.

use std::cell::RefCell;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use espalier_core::{hash::Hasher, kem::DecapsulationKey, sign::SigningKey};
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use parking_lot::Mutex;

use crate::failure::Failure;
use crate::faults::{self, Place};
use crate::queue::Queue;
use crate::table::Table;
use crate::transport_events::{Endpoints, Events};

/// The tables and the queue of one JavaScript thread. Jobs on other threads hold it while they work.
pub(crate) struct Environment {
    pub(crate) signing_keys: Table<SigningKey>,
    pub(crate) decapsulation_keys: Table<DecapsulationKey>,
    pub(crate) hashers: Table<Mutex<Hasher>>,
    pub(crate) locks: Table<File>,
    pub(crate) queue: Queue,
    pub(crate) endpoints: Endpoints,
    pub(crate) events: Events,
}

impl Environment {
    fn new() -> Self {
        Self {
            signing_keys: Table::new("the signing key"),
            decapsulation_keys: Table::new("the decapsulation key"),
            hashers: Table::new("the hasher"),
            locks: Table::new("the lock"),
            queue: Queue::new(),
            endpoints: Endpoints::default(),
            events: Events::default(),
        }
    }

    /// How many of each kind JavaScript can name.
    pub(crate) fn handles(&self) -> [(&'static str, usize); 5] {
        [
            ("signing_key", self.signing_keys.len()),
            ("decapsulation_key", self.decapsulation_keys.len()),
            ("hasher", self.hashers.len()),
            ("lock", self.locks.len()),
            ("endpoint", self.endpoints.len()),
        ]
    }

    /// Frees everything, so that secrets are wiped and locks given back although a job still holds `self`.
    fn close(&self) {
        survive(|| faults::trip(Place::Cleanup));
        survive(|| self.queue.close());
        survive(|| self.endpoints.close_all());
        survive(|| self.events.clear());
        survive(|| self.signing_keys.clear());
        survive(|| self.decapsulation_keys.clear());
        survive(|| self.hashers.clear());
        survive(|| self.locks.clear());
    }
}

/// Runs one step of an ending. A panic that left a cleanup hook would end the process, and one that left a step
/// would keep the others from being done.
pub(crate) fn survive(step: impl FnOnce()) {
    // Nobody is left who could be told.
    let _ = catch_unwind(AssertUnwindSafe(step));
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Environment>>> = const { RefCell::new(None) };
}

/// The environment of the calling JavaScript thread.
pub(crate) fn current() -> Result<Arc<Environment>, Failure> {
    CURRENT
        .try_with(|current| current.borrow().clone())
        .ok()
        .flatten()
        .ok_or_else(|| Failure::new("CLOSED", "this JavaScript environment has ended"))
}

/// Called by napi when a JavaScript thread loads the addon.
#[napi(module_exports)]
pub fn start(_exports: Object<'_>, env: napi::Env) -> napi::Result<()> {
    let environment = Arc::new(Environment::new());
    CURRENT.with(|current| current.replace(Some(environment.clone())));
    env.add_env_cleanup_hook(environment, |environment| {
        let own = CURRENT.try_with(RefCell::take);
        environment.close();
        drop(own);
    })?;
    Ok(())
}
