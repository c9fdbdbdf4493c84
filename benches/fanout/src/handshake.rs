//! The opening handshake, from both sides, for the benches alone: its key is always the RFC's own.

use std::io::{Read, Write};
use std::net::TcpStream;

use memchr::memmem;

use crate::Error;

// RFC 6455, section 1.3: the sample key and what must be answered to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MAX_HEAD_BYTES: usize = 16_384;

/// Sends the request to upgrade.
///
/// # Errors
///
/// If the connection fails.
pub fn ask(stream: &mut TcpStream, port: u16, path: &str) -> Result<(), Error> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    Ok(stream.write_all(request.as_bytes())?)
}

/// Reads the answer to the request and returns what came after it.
///
/// # Errors
///
/// If the server does not upgrade, or agrees on what was not asked for.
pub fn await_answer(stream: &mut TcpStream) -> Result<Vec<u8>, Error> {
    let (head, rest) = read_head(stream)?;
    let status = head.lines().next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 101 ") {
        return Err(format!("server answered \"{status}\", expected \"HTTP/1.1 101 …\"").into());
    }
    if header(&head, "sec-websocket-accept") != Some(ACCEPT) {
        return Err("server answered a wrong Sec-WebSocket-Accept".into());
    }
    if let Some(extension) = header(&head, "sec-websocket-extensions") {
        return Err(format!("server agreed on {extension}, which nobody asked for").into());
    }
    Ok(rest)
}

/// Answers a client of these benches, as a server.
///
/// # Errors
///
/// If the connection fails, or if it is another client.
pub fn answer(stream: &mut TcpStream) -> Result<(), Error> {
    let (head, _) = read_head(stream)?;
    if header(&head, "sec-websocket-key") != Some(KEY) {
        return Err("request has another key than the benches' client sends".into());
    }
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    );
    Ok(stream.write_all(response.as_bytes())?)
}

/// Returns an HTTP head, and the bytes that came with it.
fn read_head(stream: &mut TcpStream) -> Result<(String, Vec<u8>), Error> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = memmem::find(&bytes, b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8(bytes)?, rest));
        }
        if bytes.len() > MAX_HEAD_BYTES {
            return Err(format!("HTTP head has more than {MAX_HEAD_BYTES} bytes").into());
        }
        match stream.read(&mut chunk)? {
            0 => return Err("connection was closed in its handshake".into()),
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}
