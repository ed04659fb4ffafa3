//! Figures for whoever watches: counts and levels with their names, read when somebody asks. Names come with every
//! answer, so that nothing depends on their order.

use std::time::Duration;

use espalier_transport::budget;
use napi_derive::napi;

use crate::{arguments, environment, failure::Failure, jobs};

/// Most round-trip times that one call answers.
const MAX_ROUND_TRIPS: u64 = 65_536;

/// What a JavaScript number holds exactly.
const MAX_PEER_BYTES: u64 = (1 << 53) - 1;

/// Names and values of one moment; as many of the ones as of the others.
#[napi(object)]
pub struct Figures {
    /// A family, then its labels, with a point between.
    pub names: Vec<String>,
    /// In the order of the names.
    pub values: Vec<f64>,
}

impl Figures {
    fn of(list: Vec<(String, u64)>) -> Self {
        // Exact up to 2⁵³: eight petabytes.
        #[allow(clippy::cast_precision_loss)]
        let (names, values) = list.into_iter().map(|(name, value)| (name, value as f64)).unzip();
        Self { names, values }
    }
}

/// What an endpoint has counted and how much of everything it holds.
#[napi(catch_unwind)]
pub fn transport_figures(endpoint: f64) -> napi::Result<Figures> {
    let endpoint = environment::current()?.endpoints.get(endpoint)?;
    Ok(Figures::of(endpoint.figures()))
}

/// Smoothed round-trip times in seconds of an endpoint's links, at most `most` of them.
#[napi(catch_unwind)]
pub fn transport_round_trips(endpoint: f64, most: f64) -> napi::Result<Vec<f64>> {
    let endpoint = environment::current()?.endpoints.get(endpoint)?;
    let most = arguments::integer("most", most, MAX_ROUND_TRIPS)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    Ok(endpoint
        .round_trips(most)
        .iter()
        .map(Duration::as_secs_f64)
        .collect())
}

/// Sets how many bytes peers may make this process hold, in all its threads.
#[napi(catch_unwind)]
pub fn limit_peer_bytes(bytes: f64) -> napi::Result<()> {
    let bytes = arguments::integer("bytes", bytes, MAX_PEER_BYTES)?;
    if bytes < budget::LEAST_BYTES {
        let least = budget::LEAST_BYTES;
        return Err(Failure::argument("bytes", format_args!("{bytes} is less than {least}")).into());
    }
    budget::set(bytes);
    Ok(())
}

/// What this JavaScript thread holds natively, the jobs of the process, and the bytes that it holds for peers.
#[napi(catch_unwind)]
pub fn native_figures() -> napi::Result<Figures> {
    let environment = environment::current()?;
    let (events, event_bytes) = environment.events.waiting();
    let mut list = vec![
        ("waiting.events".to_owned(), events),
        ("waiting.results".to_owned(), environment.queue.waiting()),
        ("waiting_bytes.events".to_owned(), event_bytes),
    ];
    let handles = environment.handles();
    list.extend(handles.map(|(kind, count)| (format!("handles.{kind}"), count)));
    list.extend(jobs::under_way().map(|(pool, count)| (format!("jobs.{pool}"), count)));
    let mut list: Vec<_> = list
        .into_iter()
        .map(|(name, count)| (name, count as u64))
        .collect();
    let held = budget::held();
    let held = [
        held.receive,
        held.read_ahead,
        held.requests,
        held.answers,
        held.datagrams,
    ];
    let held = budget::Kind::LABELS.into_iter().zip(held);
    list.extend(held.map(|(kind, bytes)| (format!("peer_bytes.{kind}"), bytes)));
    list.push(("peer_bytes_limit".to_owned(), budget::limit()));
    Ok(Figures::of(list))
}
