//! The parts of the plain native program. How it is commanded and measured serves Espalier's native program too.
#![allow(
    clippy::missing_errors_doc,
    reason = "a failure is printed by the benchmark and ends the program"
)]

pub mod commands;
pub mod compute;
mod erasure;
pub mod quinn_client;
pub mod quinn_server;
mod tls;
