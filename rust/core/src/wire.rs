//! WebSocket text frames as a server sends them: whole messages, unmasked (RFC 6455, section 5.2).

/// A final text frame.
const TEXT: u8 = 0x81;

/// Length codes that say how many bytes of length follow: two, or eight.
const LENGTH_IN_TWO: u8 = 126;
const LENGTH_IN_EIGHT: u8 = 127;

/// Bytes of the header that nearly every message has.
const USUAL_HEADER_BYTES: usize = 4;

/// Begins a frame at the end of `out`; the payload follows it. Returns what [`finish`] asks for.
pub(crate) fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[TEXT, LENGTH_IN_TWO, 0, 0]);
    start
}

/// Completes the frame that begins at `start` and whose payload reaches to the end of `out`.
pub(crate) fn finish(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start - USUAL_HEADER_BYTES;
    let header = start..start + USUAL_HEADER_BYTES;
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(code), _) if code < LENGTH_IN_TWO => {
            out.splice(header, [TEXT, code]);
        }
        (_, Ok(length)) => out[start + 2..header.end].copy_from_slice(&length.to_be_bytes()),
        _ => {
            let length = u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes();
            out.splice(header, [TEXT, LENGTH_IN_EIGHT].into_iter().chain(length));
        }
    }
}

/// The payload of one whole frame that [`finish`] completed.
pub(crate) fn payload(frame: &[u8]) -> &[u8] {
    let header = match frame.get(1) {
        Some(&LENGTH_IN_TWO) => USUAL_HEADER_BYTES,
        Some(&LENGTH_IN_EIGHT) => 10,
        _ => 2,
    };
    &frame[header..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize) -> Vec<u8> {
        let mut out = b"before".to_vec();
        let start = begin(&mut out);
        out.extend(std::iter::repeat_n(b'x', length));
        finish(&mut out, start);
        assert_eq!(&out[..start], b"before");
        out.split_off(start)
    }

    #[test]
    fn every_length_has_its_shortest_header_and_its_payload_back() {
        let cases = [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10), (70_000, 10)];
        for (length, header) in cases {
            let frame = frame(length);
            assert_eq!(frame.len(), header + length, "{length}");
            assert_eq!(payload(&frame), vec![b'x'; length], "{length}");
        }
        assert_eq!(frame(5)[..2], [0x81, 5]);
        assert_eq!(frame(300)[..4], [0x81, 126, 1, 44]);
        assert_eq!(frame(65_536)[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
