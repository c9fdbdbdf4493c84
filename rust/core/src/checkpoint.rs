//! The whole state of an engine as bytes, and an engine made of them.
//!
//! Not in it are what can be made anew, and the history of candles that can no longer be revised,
//! which the caller keeps elsewhere and puts back by [`Engine::recall`]. Of equal states the bytes
//! are equal.

use crate::engine::Engine;
use crate::settings::Settings;

/// Which shape the state has: to be raised with every change of what is serialised.
pub const VERSION: u32 = 1;

/// What every checkpoint begins with.
const MAGIC: [u8; 8] = *b"tapecast";

/// Magic, version, length of the state in bytes, and a checksum over these and the state.
const HEAD_BYTES: usize = 24;
const VERSION_AT: usize = 8;
const LENGTH_AT: usize = 12;
const CHECKSUM_AT: usize = 20;

/// Why bytes are no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Too few bytes for any.
    #[error("checkpoint has {0} bytes, expected at least {HEAD_BYTES}")]
    Short(usize),
    /// Something else.
    #[error("checkpoint does not begin as one, expected \"tapecast\"")]
    Foreign,
    /// Cut off, or something was added.
    #[error("checkpoint has {found} bytes, expected {expected}")]
    Length {
        /// How many there are.
        found: usize,
        /// How many it says there are.
        expected: u64,
    },
    /// Damaged.
    #[error("checkpoint has the checksum {found:08x}, expected {expected:08x}")]
    Checksum {
        /// That of its bytes.
        found: u32,
        /// That which it was written with.
        expected: u32,
    },
    /// Written by another version of this code.
    #[error("checkpoint is of version {0}, expected {VERSION}")]
    Version(u32),
    /// Whole, but not what this version writes.
    #[error("checkpoint holds no state of an engine, expected one")]
    State,
}

impl Engine {
    /// The whole state but the history of candles that can no longer be revised.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        /// About what the state takes beside the ids.
        const OTHER_BYTES: usize = 1 << 16;
        let id_bytes = self.aggregator.remembered() * size_of::<u128>();
        let mut out = Vec::with_capacity(HEAD_BYTES + id_bytes + OTHER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.resize(HEAD_BYTES, 0);
        let Ok(mut out) = postcard::to_extend(self, out) else {
            unreachable!("every part of an engine can be serialised");
        };
        let length = (out.len() - HEAD_BYTES) as u64;
        out[LENGTH_AT..CHECKSUM_AT].copy_from_slice(&length.to_le_bytes());
        let checksum = checksum(&out);
        out[CHECKSUM_AT..HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The engine that a checkpoint was made of, its settings changed by `change`.
    ///
    /// # Errors
    ///
    /// A [`CheckpointError`] where the bytes are damaged, or those of another version.
    pub fn restored(
        checkpoint: &[u8],
        change: impl FnOnce(&mut Settings),
    ) -> Result<Self, CheckpointError> {
        let state = opened(checkpoint)?;
        let (mut engine, rest): (Self, _) =
            postcard::take_from_bytes(state).map_err(|_| CheckpointError::State)?;
        let given = engine.settings.primary_category;
        change(&mut engine.settings);
        if engine.settings.primary_category != given {
            engine.primary = engine.settings.primary_category;
        }
        let is_whole = rest.is_empty()
            && engine.aggregator.rebuild(&engine.settings)
            && engine.ring.fits(engine.series().len());
        if !is_whole {
            return Err(CheckpointError::State);
        }
        engine.ring.resize(engine.settings.recent_trades);
        Ok(engine)
    }
}

/// The state within a checkpoint that is whole and of this version.
fn opened(checkpoint: &[u8]) -> Result<&[u8], CheckpointError> {
    let found = checkpoint.len();
    let (head, state) =
        checkpoint.split_first_chunk::<HEAD_BYTES>().ok_or(CheckpointError::Short(found))?;
    if !head.starts_with(&MAGIC) {
        return Err(CheckpointError::Foreign);
    }
    let mut length = [0; 8];
    length.copy_from_slice(&head[LENGTH_AT..CHECKSUM_AT]);
    let length = u64::from_le_bytes(length);
    if length != state.len() as u64 {
        let expected = length.saturating_add(HEAD_BYTES as u64);
        return Err(CheckpointError::Length { found, expected });
    }
    let (found, expected) = (checksum(checkpoint), word(head, CHECKSUM_AT));
    if found != expected {
        return Err(CheckpointError::Checksum { found, expected });
    }
    match word(head, VERSION_AT) {
        VERSION => Ok(state),
        other => Err(CheckpointError::Version(other)),
    }
}

fn word(head: &[u8; HEAD_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

/// Over all but the checksum itself.
fn checksum(checkpoint: &[u8]) -> u32 {
    let head = crc32c::crc32c(&checkpoint[..CHECKSUM_AT]);
    crc32c::crc32c_append(head, &checkpoint[HEAD_BYTES..])
}

/// Times as they stand in a checkpoint: each value that is told apart, and how often it was there.
pub(crate) mod latency {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::latency::Latency;

    pub(crate) fn serialize<S: Serializer>(
        latency: &Latency,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        latency.recorded().collect::<Vec<_>>().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Latency, D::Error> {
        let mut latency = Latency::new();
        for (ns, count) in Vec::<(i64, u64)>::deserialize(deserializer)? {
            latency.record(ns, count);
        }
        Ok(latency)
    }
}
