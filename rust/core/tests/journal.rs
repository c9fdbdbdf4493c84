//! The journal: whatever happens to its bytes, every record that was spared is found, and no other.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on says so by panicking")]

use proptest::prelude::*;
use tapecast_core::journal::{MARKER, MAX_PAYLOAD_BYTES, Reading, Record, TooLong, encode, read};

const HEAD_BYTES: usize = 24;

type Owned = (u8, u8, u16, i64, Vec<u8>);

fn record(owned: &Owned) -> Record<'_> {
    let (kind, category, line, received_ns, payload) = owned;
    Record { kind: *kind, category: *category, line: *line, received_ns: *received_ns, payload }
}

/// The bytes of all records, and where each begins and ends.
fn written(records: &[Owned]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let (mut bytes, mut places) = (Vec::new(), Vec::new());
    for owned in records {
        let begin = bytes.len();
        bytes.extend(encode(&record(owned)).unwrap());
        places.push((begin, bytes.len()));
    }
    (bytes, places)
}

/// Payloads hold markers and beginnings of records, too.
fn any_records(fewest: usize) -> impl Strategy<Value = Vec<Owned>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12),
        Just(MARKER.to_vec()),
        Just([MARKER.as_slice(), &[3, 0, 0, 0]].concat()),
    ];
    let payload = prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
    let one = (any::<u8>(), any::<u8>(), any::<u16>(), any::<i64>(), payload);
    prop::collection::vec(one, fewest..12)
}

#[test]
fn a_record_is_laid_out_as_documented() {
    let record =
        Record { kind: 1, category: 2, line: 0x0403, received_ns: -2, payload: b"123456789" };
    let bytes = encode(&record).unwrap();
    assert_eq!(bytes[..8], [0xf5, 0xc0, 0xc1, 0xff, 9, 0, 0, 0]);
    let rest = [1, 2, 3, 4, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(bytes[12..24], rest);
    assert_eq!(&bytes[24..], b"123456789");
    assert_eq!(bytes[8..12], crc32c(&bytes[12..]).to_le_bytes());
}

/// CRC-32C bit by bit, as in RFC 3720 appendix B.4.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn no_byte_of_the_marker_stands_in_any_text() {
    for byte in MARKER {
        let holds = |character: char| character.to_string().as_bytes().contains(&byte);
        assert!(!('\0'..=char::MAX).any(holds), "{byte:#x}");
    }
}

#[test]
fn the_longest_payload_is_read_back_and_a_longer_one_refused() {
    let payload = vec![7; MAX_PAYLOAD_BYTES + 1];
    let longest = Record { kind: 0, category: 0, line: 0, received_ns: 0, payload: &payload[1..] };
    assert_eq!(read(&encode(&longest).unwrap(), 0).records, [longest]);
    let error = encode(&Record { payload: &payload, ..longest }).unwrap_err();
    assert_eq!(error, TooLong(MAX_PAYLOAD_BYTES + 1));
    assert_eq!(error.to_string(), "payload has 16777217 bytes, expected at most 16777216");
}

#[test]
fn an_offset_beyond_the_end_finds_nothing() {
    assert_eq!(read(b"abc", 7), Reading { end: 3, ..Reading::default() });
}

proptest! {
    #[test]
    fn every_prefix_yields_the_whole_records_before_the_cut(
        records in any_records(0), cut in any::<prop::sample::Index>(),
    ) {
        let (bytes, places) = written(&records);
        let cut = cut.index(bytes.len() + 1);
        let whole = places.iter().take_while(|(_, end)| *end <= cut).count();
        let reading = read(&bytes[..cut], 0);
        prop_assert_eq!(&reading.records, &records[..whole].iter().map(record).collect::<Vec<_>>());
        prop_assert_eq!(reading.damaged, []);
        prop_assert_eq!(reading.end, whole.checked_sub(1).map_or(0, |last| places[last].1));
    }

    #[test]
    fn reading_goes_on_where_it_ended(records in any_records(0), cut in any::<prop::sample::Index>()) {
        let (bytes, _) = written(&records);
        let first = read(&bytes[..cut.index(bytes.len() + 1)], 0);
        let rest = read(&bytes, first.end);
        let all = [first.records, rest.records].concat();
        prop_assert_eq!(all, records.iter().map(record).collect::<Vec<_>>());
        prop_assert_eq!(rest.end, bytes.len());
    }

    #[test]
    fn flipped_bytes_cost_the_records_they_are_in_and_no_other(
        records in any_records(1),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4),
    ) {
        let (mut bytes, places) = written(&records);
        let before = bytes.clone();
        for (at, mask) in &flips {
            bytes[at.index(before.len())] ^= mask;
        }
        let spared = |(begin, end): (usize, usize)| before[begin..end] == bytes[begin..end];
        let expected: Vec<usize> =
            (0..records.len()).filter(|record| spared(places[*record])).collect();
        let reading = read(&bytes, 0);
        let found: Vec<_> = expected.iter().map(|spared| record(&records[*spared])).collect();
        prop_assert_eq!(reading.records, found);
        // Whole records and damaged stretches follow each other without a hole up to the end.
        let mut stretches = reading.damaged.clone();
        stretches.extend(expected.iter().map(|spared| places[*spared]));
        stretches.sort_unstable();
        let mut reached = 0;
        for (begin, end) in stretches {
            prop_assert!(begin == reached && end > begin);
            reached = end;
        }
        prop_assert_eq!(reached, reading.end);
    }

    #[test]
    fn bytes_cut_out_or_added_cost_the_records_they_touch_and_no_other(
        records in any_records(0),
        (at, length) in (any::<prop::sample::Index>(), 0_usize..90),
        rubbish in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let (bytes, places) = written(&records);
        let begin = at.index(bytes.len() + 1);
        let end = (begin + length).min(bytes.len());
        let damaged = [&bytes[..begin], &rubbish, &bytes[end..]].concat();
        // What was cut out may begin or end as what took its place.
        let same = |pairs: &mut dyn Iterator<Item = (&u8, &u8)>| {
            pairs.take_while(|(one, other)| one == other).count()
        };
        let before = same(&mut bytes.iter().zip(&damaged));
        let behind = bytes.len() - same(&mut bytes.iter().rev().zip(damaged.iter().rev()));
        let mut reached = 0;
        let spared = |(begin, end): &(usize, usize)| {
            let is_spared = *end <= before
                || *begin >= behind && begin + damaged.len() >= reached + bytes.len();
            if *end <= before {
                reached = *end;
            }
            is_spared
        };
        let spared: Vec<bool> = places.iter().map(spared).collect();
        let expected = records.iter().zip(spared).filter(|(_, spared)| *spared);
        let expected: Vec<_> = expected.map(|(owned, _)| record(owned)).collect();
        prop_assert_eq!(read(&damaged, 0).records, expected);
    }

    #[test]
    fn rubbish_is_no_record(bytes in prop::collection::vec(any::<u8>(), 0..4 * HEAD_BYTES)) {
        let reading = read(&bytes, 0);
        prop_assert_eq!(reading, Reading::default());
    }
}
