//! `fanout-send-loop`: the baseline, a server that does nothing but `send()` to one client after
//! the other, which is what a program in C would do.
//!
//! It prints a line of JSON when it listens, when all clients are there and when it is at its end,
//! as the other servers of the benches do. Paced, it publishes a message for each stamp of 8 bytes
//! that comes on stdin.

use std::io::{ErrorKind, Read, Write, stdin, stdout};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use fanout::frame::push_text;
use fanout::{Error, exit_code, handshake, machine};
use lexopt::prelude::{Long, ValueExt};
use serde_json::json;

const USAGE: &str = "\
fanout-send-loop [options]

  --clients N   clients to wait for (1)
  --joined N    messages of one write (1)
  --bytes N     size of a message (300)
  --seconds S   how long it publishes as fast as it can (1)
  --paced       publish at each stamp of 8 bytes on stdin instead, until its end
  --core N      the core to run on
";
const NS_PER_S: f64 = 1e9;
/// How long it stays to be looked at; whoever has started it ends it before.
const LINGER: Duration = Duration::from_secs(5);
const STAMP_BYTES: usize = size_of::<u64>();

struct Options {
    clients: usize,
    joined: u64,
    bytes: usize,
    seconds: f64,
    is_paced: bool,
    core: Option<usize>,
}

struct Server {
    clients: Vec<TcpStream>,
    bytes: usize,
    published: u64,
    text: Vec<u8>,
    frames: Vec<u8>,
}

fn main() -> ExitCode {
    exit_code("fanout-send-loop", run())
}

fn run() -> Result<(), Error> {
    let Some(options) = read_options()? else {
        return Ok(stdout().write_all(USAGE.as_bytes())?);
    };
    if let Some(core) = options.core {
        machine::pin(core)?;
    }
    machine::allow_descriptors(options.clients as u64 + 64)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    tell(&json!({"event": "listening", "port": listener.local_addr()?.port()}))?;
    let mut server = Server::accept(&listener, &options)?;
    let begin_ns = machine::monotonic_ns();
    tell(&json!({"event": "begun", "begin_ns": begin_ns}))?;
    if options.is_paced {
        server.follow_stdin()?;
    } else {
        server.saturate(&options, begin_ns)?;
    }
    server.end()?;
    tell(&json!({"event": "ended", "published": server.published}))?;
    server.await_clients();
    std::thread::sleep(LINGER);
    Ok(())
}

fn read_options() -> Result<Option<Options>, Error> {
    let mut options =
        Options { clients: 1, joined: 1, bytes: 300, seconds: 1.0, is_paced: false, core: None };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("clients") => options.clients = arguments.value()?.parse()?,
            Long("joined") => options.joined = arguments.value()?.parse()?,
            Long("bytes") => options.bytes = arguments.value()?.parse()?,
            Long("seconds") => options.seconds = arguments.value()?.parse()?,
            Long("paced") => options.is_paced = true,
            Long("core") => options.core = Some(arguments.value()?.parse()?),
            Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(options))
}

fn tell(line: &serde_json::Value) -> Result<(), Error> {
    let mut stdout = stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

impl Server {
    /// Waits until every client has connected and sent its command.
    fn accept(listener: &TcpListener, options: &Options) -> Result<Self, Error> {
        let mut clients = Vec::with_capacity(options.clients);
        while clients.len() < options.clients {
            let (mut client, _) = listener.accept()?;
            client.set_nodelay(true)?;
            handshake::answer(&mut client)?;
            clients.push(client);
        }
        for client in &mut clients {
            // The first of it is enough: what it says changes nothing.
            if client.read(&mut [0; 1024])? == 0 {
                return Err("client has gone before its command".into());
            }
        }
        Ok(Self {
            clients,
            bytes: options.bytes,
            published: 0,
            text: Vec::new(),
            frames: Vec::new(),
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a run is far shorter than 2^53 ns")]
    fn saturate(&mut self, options: &Options, begin_ns: u64) -> Result<(), Error> {
        loop {
            let now_ns = machine::monotonic_ns();
            if (now_ns - begin_ns) as f64 / NS_PER_S >= options.seconds {
                return Ok(());
            }
            for _ in 0..options.joined {
                self.join(now_ns)?;
            }
            self.send()?;
        }
    }

    fn follow_stdin(&mut self) -> Result<(), Error> {
        let mut stdin = stdin().lock();
        let mut stamp = [0; STAMP_BYTES];
        loop {
            match stdin.read_exact(&mut stamp) {
                Ok(()) => self.join(u64::from_le_bytes(stamp))?,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            self.send()?;
        }
    }

    /// Adds one message to the next write.
    fn join(&mut self, stamp_ns: u64) -> Result<(), Error> {
        self.published += 1;
        self.text.clear();
        write!(
            self.text,
            r#"{{"topic":"status","type":"trade","seq":{},"trade_id":"{stamp_ns:020}","rest":""#,
            self.published
        )?;
        let end = b"\"}";
        let rest = self.bytes.saturating_sub(self.text.len() + end.len());
        self.text.extend(std::iter::repeat_n(b'x', rest));
        self.text.extend_from_slice(end);
        push_text(&mut self.frames, &self.text);
        Ok(())
    }

    fn send(&mut self) -> Result<(), Error> {
        for client in &mut self.clients {
            client.write_all(&self.frames)?;
        }
        self.frames.clear();
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        let text =
            format!(r#"{{"topic":"status","type":"upstream","seq":{}}}"#, self.published + 1);
        push_text(&mut self.frames, text.as_bytes());
        self.send()
    }

    fn await_clients(&mut self) {
        for client in &mut self.clients {
            while matches!(client.read(&mut [0; 1024]), Ok(1..)) {}
        }
    }
}
