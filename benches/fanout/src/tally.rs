//! Counts of messages, exact: of one client, and of all.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::Error;
use crate::message::Finder;

const NS_PER_MS: u64 = 1_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// What one client has received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages of the counted type.
    pub messages: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Numbers that were skipped.
    pub missing: u64,
    /// Messages whose number was not above the one before.
    pub repeated: u64,
    /// Messages that the server said it had dropped.
    pub announced: u64,
    last_seq: Option<u64>,
}

impl Tally {
    /// Returns whether a message with a number has come: the snapshot, of tapecast.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.last_seq.is_some()
    }

    fn number(&mut self, seq: u64) {
        if let Some(last) = self.last_seq {
            if seq <= last {
                self.repeated += 1;
                return;
            }
            self.missing += seq - last - 1;
        }
        self.last_seq = Some(seq);
    }
}

/// What a stamp in a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Nanoseconds of the monotonic clock.
    MonotonicNs,
    /// Milliseconds since the Unix epoch.
    WallMs,
}

/// When some messages were read.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// On the monotonic clock.
    pub monotonic_ns: u64,
    /// Since the Unix epoch; looked at only where stamps are of that clock.
    pub wall_ns: u64,
}

/// Counts messages of every client.
#[derive(Debug)]
pub struct Counter {
    /// Messages by their type.
    pub types: BTreeMap<Vec<u8>, u64>,
    /// From the stamps of counted messages to their arrival, in nanoseconds.
    pub latency: Histogram<u64>,
    counted: Vec<u8>,
    last: Option<Vec<u8>>,
    stamp: Option<(Finder, Stamp)>,
    kind: Finder,
    seq: Finder,
    scope: Finder,
    dropped: Finder,
}

impl Counter {
    /// Makes one that counts messages of one type.
    ///
    /// # Errors
    ///
    /// Never; the histogram's settings are constants.
    pub fn new(
        counted: &str,
        last: Option<&str>,
        stamp: Option<(&str, Stamp)>,
    ) -> Result<Self, Error> {
        Ok(Self {
            types: BTreeMap::new(),
            latency: Histogram::new(SIGNIFICANT_DIGITS)?,
            counted: counted.into(),
            last: last.map(Into::into),
            stamp: stamp.map(|(name, stamp)| (Finder::new(name), stamp)),
            kind: Finder::new("type"),
            seq: Finder::new("seq"),
            scope: Finder::new("scope"),
            dropped: Finder::new("dropped"),
        })
    }

    /// Returns whether stamps are of the wall clock.
    #[must_use]
    pub fn reads_wall(&self) -> bool {
        matches!(self.stamp, Some((_, Stamp::WallMs)))
    }

    /// Counts one message of one client and returns whether it is of the type that ends a run.
    ///
    /// # Errors
    ///
    /// If a message has no type, or a counted one no stamp where one is expected.
    pub fn take(&mut self, tally: &mut Tally, payload: &[u8], now: Arrival) -> Result<bool, Error> {
        let shown = || String::from_utf8_lossy(payload).into_owned();
        let kind =
            (self.kind.text(payload)).ok_or_else(|| format!("message has no type: {}", shown()))?;
        match self.types.get_mut(kind) {
            Some(count) => *count += 1,
            None => {
                self.types.insert(kind.into(), 1);
            }
        }
        if kind == b"snapshot" {
            // Everything up to its number is in it.
            tally.last_seq = self.seq.number(payload);
        } else if kind == b"gap" && self.scope.text(payload) == Some(b"client") {
            tally.announced += self.dropped.number(payload).unwrap_or(0);
        } else if let Some(seq) = self.seq.number(payload) {
            tally.number(seq);
        }
        if kind == self.counted {
            tally.messages += 1;
            tally.bytes += payload.len() as u64;
            if let Some((finder, stamp)) = &mut self.stamp {
                let stamped = (finder.number(payload))
                    .ok_or_else(|| format!("message has no stamp: {}", shown()))?;
                let latency_ns = match stamp {
                    Stamp::MonotonicNs => now.monotonic_ns.saturating_sub(stamped),
                    Stamp::WallMs => now.wall_ns.saturating_sub(stamped.saturating_mul(NS_PER_MS)),
                };
                self.latency.record(latency_ns)?;
            }
        }
        Ok(self.last.as_deref() == Some(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Arrival = Arrival { monotonic_ns: 5_000, wall_ns: 7 * NS_PER_MS };

    fn counted(messages: &[&str]) -> Result<(Counter, Tally, Vec<bool>), Error> {
        let mut counter =
            Counter::new("trade", Some("upstream"), Some(("id", Stamp::MonotonicNs)))?;
        let mut tally = Tally::default();
        let ends = (messages.iter())
            .map(|message| counter.take(&mut tally, message.as_bytes(), NOW))
            .collect::<Result<_, _>>()?;
        Ok((counter, tally, ends))
    }

    #[test]
    fn messages_are_counted_by_type_and_their_numbers_are_followed() -> Result<(), Error> {
        let (counter, tally, ends) = counted(&[
            r#"{"type":"snapshot","seq":9,"trades":[{"type":"trade","seq":9}]}"#,
            r#"{"type":"trade","seq":10,"id":"1000"}"#,
            r#"{"type":"trade","seq":13,"id":"2000"}"#,
            r#"{"type":"gap","scope":"client","dropped":2,"from_seq":11,"to_seq":12}"#,
            r#"{"type":"trade","seq":13,"id":"2000"}"#,
            r#"{"type":"upstream","seq":14}"#,
        ])?;
        assert_eq!((tally.messages, tally.missing, tally.repeated, tally.announced), (3, 2, 1, 2));
        assert_eq!(ends, [false, false, false, false, false, true]);
        assert_eq!(counter.types.get(&b"trade"[..]), Some(&3));
        assert_eq!((counter.latency.len(), counter.latency.min()), (3, 3_000));
        Ok(())
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        assert!(counted(&[r#"{"seq":1}"#]).is_err());
        assert!(counted(&[r#"{"type":"trade","seq":1}"#]).is_err());
    }

    #[test]
    fn stamps_may_be_milliseconds_of_the_wall_clock() -> Result<(), Error> {
        let mut counter = Counter::new("trade", None, Some(("timestamp", Stamp::WallMs)))?;
        assert!(counter.reads_wall());
        counter.take(&mut Tally::default(), br#"{"type":"trade","timestamp":4}"#, NOW)?;
        assert_eq!(counter.latency.max() / NS_PER_MS, 3);
        Ok(())
    }
}
