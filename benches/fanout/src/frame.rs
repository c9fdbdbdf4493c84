//! WebSocket frames as RFC 6455, section 5.2, has them.

use crate::Error;

const MASK: [u8; 4] = [0x5a, 0xa5, 0x3c, 0xc3];
const MAX_CONTROL_BYTES: usize = 125;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message before.
    Continuation,
    /// A message of text, or its beginning.
    Text,
    /// A message of bytes, or its beginning.
    Binary,
    /// The sender's last frame.
    Close,
    /// To be answered by a pong with the same payload.
    Ping,
    /// The answer to a ping.
    Pong,
}

/// A whole unmasked frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is for.
    pub opcode: Opcode,
    /// Whether it ends its message.
    pub is_final: bool,
    /// Its payload.
    pub payload: &'a [u8],
    /// How many bytes it has, the header included.
    pub size: usize,
}

/// Returns the frame at the head of some bytes; `None` if it is not there whole.
///
/// # Errors
///
/// If no server may send what stands there.
pub fn first_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, Error> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let opcode = opcode_of(*first)?;
    if second & 0x80 != 0 {
        return Err("frame of the server is masked, expected an unmasked one".into());
    }
    let Some((length, header)) = length_of(second & 0x7f, rest)? else {
        return Ok(None);
    };
    let is_final = first & 0x80 != 0;
    let is_control = matches!(opcode, Opcode::Close | Opcode::Ping | Opcode::Pong);
    if is_control && (!is_final || length > MAX_CONTROL_BYTES) {
        return Err(
            format!("control frame has {length} bytes or is split, expected one whole").into()
        );
    }
    let size = header.saturating_add(length);
    Ok(bytes.get(header..size).map(|payload| Frame { opcode, is_final, payload, size }))
}

fn opcode_of(first: u8) -> Result<Opcode, Error> {
    if first & 0x70 != 0 {
        return Err("frame has reserved bits, expected none: no extension was agreed on".into());
    }
    Ok(match first & 0x0f {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        other => return Err(format!("frame has the opcode {other}, expected a known one").into()),
    })
}

/// Returns the length of the payload and that of the header; `None` if it is not there whole.
fn length_of(short: u8, rest: &[u8]) -> Result<Option<(usize, usize)>, Error> {
    let (length, header, least) = match short {
        126 => match rest.first_chunk::<2>() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 4, 126),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 10, 0x1_0000),
            None => return Ok(None),
        },
        _ => (u64::from(short), 2, 0),
    };
    if length < least || length >> 63 != 0 {
        return Err(format!(
            "frame states {length} bytes, expected the shortest form of less than 2^63"
        )
        .into());
    }
    Ok(Some((usize::try_from(length)?, header)))
}

/// Appends a text frame as a server sends it.
///
/// # Panics
///
/// If the payload is longer than 65,535 bytes; the benches send none.
pub fn push_text(out: &mut Vec<u8>, payload: &[u8]) {
    assert!(u16::try_from(payload.len()).is_ok(), "text is too long for the benches");
    push_header(out, 0x81, payload.len(), 0);
    out.extend_from_slice(payload);
}

/// Returns a frame as a client sends it.
///
/// # Panics
///
/// If the payload is longer than 65,535 bytes; the benches send none.
#[must_use]
pub fn masked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    assert!(u16::try_from(payload.len()).is_ok(), "command is too long for the benches");
    let mut out = Vec::with_capacity(payload.len() + 8);
    let first = match opcode {
        Opcode::Continuation => 0x80,
        Opcode::Text => 0x81,
        Opcode::Binary => 0x82,
        Opcode::Close => 0x88,
        Opcode::Ping => 0x89,
        Opcode::Pong => 0x8a,
    };
    push_header(&mut out, first, payload.len(), 0x80);
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

#[expect(clippy::cast_possible_truncation, reason = "at most 65,535, as the callers hold")]
fn push_header(out: &mut Vec<u8>, first: u8, length: usize, mask_bit: u8) {
    out.push(first);
    if length < 126 {
        out.push(mask_bit | length as u8);
    } else {
        out.push(mask_bit | 0x7e);
        out.extend_from_slice(&(length as u16).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..=125 => frame.push(u8::try_from(length).unwrap_or_default()),
            length @ 126..=0xffff => {
                frame.push(126);
                frame.extend_from_slice(&u16::try_from(length).unwrap_or_default().to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn a_frame_of_every_form_of_length_is_read_whole_and_never_before_it_is_whole() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload = vec![b'x'; length];
            let bytes = server_frame(1, &payload);
            for cut in (0..bytes.len()).filter(|cut| *cut < 20 || cut + 2 > bytes.len()) {
                assert!(matches!(first_frame(&bytes[..cut]), Ok(None)), "{length} cut at {cut}");
            }
            let more = [bytes.as_slice(), b"\x81\x01y"].concat();
            let frame = first_frame(&more).ok().flatten();
            let expected = Frame {
                opcode: Opcode::Text,
                is_final: true,
                payload: &payload,
                size: bytes.len(),
            };
            assert_eq!(frame, Some(expected));
        }
    }

    #[test]
    fn what_no_server_may_send_is_refused() {
        let masked = masked(Opcode::Text, b"x");
        let bad: [&[u8]; 8] = [
            &masked,
            &[0xc1, 0],
            &[0x83, 0],
            &[0x09, 0],
            &[0x89, 126, 0, 126],
            &[0x81, 126, 0, 125],
            &[0x81, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            &[0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
        ];
        for bytes in bad {
            assert!(first_frame(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn what_the_benches_send_has_the_right_header() {
        let mut text = Vec::new();
        push_text(&mut text, &[b'x'; 300]);
        assert_eq!(text[..4], [0x81, 126, 1, 44]);
        assert_eq!(text.len(), 304);
        assert_eq!(
            masked(Opcode::Pong, b"a")[..],
            [0x8a, 0x81, 0x5a, 0xa5, 0x3c, 0xc3, b'a' ^ 0x5a]
        );
    }
}
