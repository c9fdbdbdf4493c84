//! What the counting client and the baseline of the fan-out benches share.
//!
//! [`frame`] reads and writes WebSocket frames (RFC 6455), [`handshake`] opens connections,
//! [`message`] finds in a message what is counted, [`tally`] counts it, [`crowd`] is many
//! clients in one thread, and [`machine`] asks the system for cores, clocks and descriptors.

#![forbid(unsafe_code)]

pub mod crowd;
pub mod frame;
pub mod handshake;
pub mod machine;
pub mod message;
pub mod tally;

use std::io::{Write, stderr};
use std::process::ExitCode;

/// What ends a run early, in words for its user.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a program ends with; an error is told on stderr, behind the program's name.
#[must_use]
pub fn exit_code(program: &str, result: Result<(), Error>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With stderr gone there is nobody left to tell.
            let _ = writeln!(stderr(), "{program}: {error}");
            ExitCode::FAILURE
        }
    }
}
