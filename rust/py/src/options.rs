//! Python's keyword arguments as the core's settings.

use pyo3::pybacked::PyBackedBytes;
use tapecast_core::batch::MessageKind;
use tapecast_core::encode;
use tapecast_core::settings::{Clock, EmptyPolicy, OpenRule};

use crate::error::CallError;

/// The value that `name` stands for among `choices`.
fn choose<T: Copy>(
    argument: &str,
    name: &str,
    choices: &[(&'static str, T)],
) -> Result<T, CallError> {
    let found = choices.iter().find(|(choice, _)| *choice == name);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<String> =
            choices.iter().map(|(choice, _)| format!("\"{choice}\"")).collect();
        CallError::Argument(format!("{argument} is \"{name}\", expected {}", names.join(" or ")))
    })
}

pub(crate) fn empty_policy(name: &str) -> Result<EmptyPolicy, CallError> {
    choose("empty", name, &[("skip", EmptyPolicy::Skip), ("flat", EmptyPolicy::Flat)])
}

pub(crate) fn open_rule(name: &str) -> Result<OpenRule, CallError> {
    let choices =
        [("first_trade", OpenRule::FirstTrade), ("previous_close", OpenRule::PreviousClose)];
    choose("open", name, &choices)
}

pub(crate) fn clock(name: &str) -> Result<Clock, CallError> {
    choose("clock", name, &[("wall", Clock::Wall), ("event", Clock::Event)])
}

pub(crate) fn message_kind(name: &str) -> Result<MessageKind, CallError> {
    choose("message type", name, &MessageKind::ALL.map(|kind| (kind.name(), kind)))
}

/// A duration in milliseconds that must not be negative.
pub(crate) fn milliseconds(argument: &str, value: i64) -> Result<i64, CallError> {
    /// A year: beyond it a setting is a slip of units.
    const MOST_MS: i64 = 366 * 86_400_000;
    if (0..=MOST_MS).contains(&value) {
        return Ok(value);
    }
    let message = format!("{argument} is {value}, expected milliseconds from 0 to {MOST_MS}");
    Err(CallError::Argument(message))
}

/// A finished JSON array that is spliced into a message; an empty one where there is none.
pub(crate) fn json_array<'a>(
    argument: &str,
    bytes: Option<&'a [u8]>,
) -> Result<&'a str, CallError> {
    let Some(bytes) = bytes else { return Ok("[]") };
    let text = std::str::from_utf8(bytes).ok().filter(|text| encode::is_array(text));
    text.ok_or_else(|| CallError::Argument(format!("{argument} is no JSON array, expected one")))
}

/// Further members of a stats message, each finished JSON.
pub(crate) fn sections(given: &[(String, PyBackedBytes)]) -> Result<Vec<(&str, &str)>, CallError> {
    let mut sections = Vec::with_capacity(given.len());
    for (name, json) in given {
        if encode::STATS_MEMBERS.contains(&name.as_str()) {
            let message = format!("section \"{name}\" is in stats already, expected a new name");
            return Err(CallError::Argument(message));
        }
        let Some(json) = std::str::from_utf8(json).ok().filter(|json| encode::is_value(json))
        else {
            let message = format!("section \"{name}\" is no JSON, expected one value");
            return Err(CallError::Argument(message));
        };
        sections.push((name.as_str(), json));
    }
    Ok(sections)
}
