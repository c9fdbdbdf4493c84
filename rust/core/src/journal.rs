//! The records of a journal: what each consists of, and finding them again among damaged bytes.
//!
//! A record is the marker, the length of its payload and a checksum over all that follows: kind,
//! category, line, time of receipt and payload. Numbers are little endian. A damaged stretch ends
//! where the next whole record begins, whatever the lengths in it say.

use memchr::memmem;

/// What every record begins with: bytes that stand in no text, as exchange frames are.
pub const MARKER: [u8; 4] = [0xf5, 0xc0, 0xc1, 0xff];

/// The most bytes of a payload; a longer one is damage.
pub const MAX_PAYLOAD_BYTES: usize = 16 << 20;

/// Where the parts of a record begin.
const LENGTH: usize = 4;
const CHECKSUM: usize = 8;
const CHECKED: usize = 12;
const PAYLOAD: usize = 24;

/// One input as it was written down. What kinds, categories and lines mean is the writer's affair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// What the payload is.
    pub kind: u8,
    /// What category it is of.
    pub category: u8,
    /// What connection it came by.
    pub line: u16,
    /// Wall clock at its receipt, in nanoseconds since the epoch.
    pub received_ns: i64,
    /// The input itself.
    pub payload: &'a [u8],
}

/// A payload that is too long for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("payload has {0} bytes, expected at most {MAX_PAYLOAD_BYTES}")]
pub struct TooLong(pub usize);

/// What was found in a piece of a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading<'a> {
    /// The whole records, in their order.
    pub records: Vec<Record<'a>>,
    /// The stretches between them that hold none, as `[from, to)` in bytes.
    pub damaged: Vec<(usize, usize)>,
    /// Where the last whole record ends. What stands behind it was not written to its end, or is
    /// damaged.
    pub end: usize,
}

/// Puts a record into bytes.
///
/// # Errors
///
/// [`TooLong`] where its payload has more than [`MAX_PAYLOAD_BYTES`].
pub fn encode(record: &Record<'_>) -> Result<Vec<u8>, TooLong> {
    let Record { kind, category, line, received_ns, payload } = *record;
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= MAX_PAYLOAD_BYTES);
    let length = length.ok_or(TooLong(payload.len()))?;
    let mut out = Vec::with_capacity(PAYLOAD + payload.len());
    out.extend_from_slice(&MARKER);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[kind, category]);
    out.extend_from_slice(&line.to_le_bytes());
    out.extend_from_slice(&received_ns.to_le_bytes());
    out.extend_from_slice(payload);
    let checksum = crc32c::crc32c(&out[CHECKED..]);
    out[CHECKSUM..CHECKED].copy_from_slice(&checksum.to_le_bytes());
    Ok(out)
}

/// Reads the records of `data` from byte `offset` on.
#[must_use]
pub fn read(data: &[u8], offset: usize) -> Reading<'_> {
    let mut reading = Reading { end: offset.min(data.len()), ..Reading::default() };
    while let Some((begin, record)) = next(data, reading.end) {
        if begin > reading.end {
            reading.damaged.push((reading.end, begin));
        }
        reading.end = begin + PAYLOAD + record.payload.len();
        reading.records.push(record);
    }
    reading
}

/// The first whole record from `from` on, and where it begins.
fn next(data: &[u8], from: usize) -> Option<(usize, Record<'_>)> {
    if let Some(record) = whole(&data[from..]) {
        return Some((from, record));
    }
    // The lengths of a damaged stretch say nothing: any marker in it may be that of a whole record.
    let mut markers = memmem::find_iter(&data[from..], &MARKER).map(|at| from + at);
    markers.find_map(|at| Some((at, whole(&data[at..])?)))
}

/// The record that `data` begins with, if it is whole.
fn whole(data: &[u8]) -> Option<Record<'_>> {
    let (head, rest) = data.split_first_chunk::<PAYLOAD>()?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let length = usize::try_from(word(LENGTH)).ok()?;
    if head[..LENGTH] != MARKER || length > MAX_PAYLOAD_BYTES {
        return None;
    }
    let payload = rest.get(..length)?;
    if crc32c::crc32c(&data[CHECKED..PAYLOAD + length]) != word(CHECKSUM) {
        return None;
    }
    let [kind, category, line_low, line_high, time @ ..] = head.last_chunk::<12>()?;
    Some(Record {
        kind: *kind,
        category: *category,
        line: u16::from_le_bytes([*line_low, *line_high]),
        received_ns: i64::from_le_bytes(*time),
        payload,
    })
}
