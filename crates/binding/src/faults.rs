//! Faults on purpose, for the tests of what becomes of a panic; without the feature `test-hooks` there are none.

/// Where a panic can be had once.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "test-hooks"), allow(dead_code))]
pub(crate) enum Place {
    /// Between a finished job and the wake-up of the JavaScript thread.
    Wake,
    /// Where an event becomes a record.
    Conversion,
    /// Where an event is put into the queue.
    Sink,
    /// In the cleanup of an environment.
    Cleanup,
    /// Where a task of the transport tells the event of this kind.
    Event(u8),
}

#[cfg(not(feature = "test-hooks"))]
pub(crate) fn trip(_place: Place) {}

#[cfg(feature = "test-hooks")]
pub(crate) use hooks::trip;

#[cfg(feature = "test-hooks")]
mod hooks {
    use std::sync::atomic::{AtomicU32, Ordering};

    use espalier_transport::endpoint::Command;
    use napi_derive::napi;

    use super::Place;
    use crate::failure::Failure;
    use crate::table::Table;
    use crate::text::Text;
    use crate::{arguments, environment, jobs};

    /// The place that panics when it is next passed; 0 is none.
    static ARMED: AtomicU32 = AtomicU32::new(0);

    /// Panics if this place was armed, once.
    pub(crate) fn trip(place: Place) {
        let number = number_of(place);
        if ARMED
            .compare_exchange(number, 0, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            fail();
        }
    }

    fn number_of(place: Place) -> u32 {
        match place {
            Place::Wake => 1,
            Place::Conversion => 2,
            Place::Cleanup => 3,
            Place::Sink => 4,
            Place::Event(kind) => 100 + u32::from(kind),
        }
    }

    #[allow(clippy::panic)]
    fn fail() -> ! {
        panic!("on purpose")
    }

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            fail();
        }
    }

    /// Panics in, or arms, the place of this kind. `number` is a job, an endpoint or the kind of an event.
    #[napi(catch_unwind)]
    pub fn test_panic(kind: Text, number: f64) -> napi::Result<()> {
        let work = || -> Result<Vec<u8>, Failure> { fail() };
        let arm = |place| ARMED.store(number_of(place), Ordering::Release);
        match &*kind {
            "call" => fail(),
            "compute" => jobs::spawn(arguments::job(number)?, work)?,
            "slow" => jobs::spawn_slow(arguments::job(number)?, work)?,
            "disk" => jobs::spawn_disk(arguments::job(number)?, work)?,
            "drop" => {
                let table = Table::new("the bomb");
                let bomb = table.insert(Bomb)?;
                table.remove(f64::from(bomb))?;
            }
            "driver" => {
                let endpoint = environment::current()?.endpoints.get(number)?;
                endpoint
                    .submit(vec![Command::Panic])
                    .map_err(crate::transport::failure)?;
            }
            "wake" => arm(Place::Wake),
            "conversion" => arm(Place::Conversion),
            "sink" => arm(Place::Sink),
            "cleanup" => arm(Place::Cleanup),
            "event" => {
                let kind = arguments::integer("number", number, u64::from(u8::MAX))?;
                arm(Place::Event(u8::try_from(kind).unwrap_or(u8::MAX)));
            }
            _ => return Err(Failure::argument("kind", "unknown").into()),
        }
        Ok(())
    }
}
