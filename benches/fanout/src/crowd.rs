//! Many clients in one thread, each a socket that one epoll watches.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use crate::frame::{Opcode, first_frame, masked};
use crate::tally::{Arrival, Counter, Tally};
use crate::{Error, handshake, machine};

const CHUNK_BYTES: usize = 131_072;
const TICK: Duration = Duration::from_millis(10);
const TICKS_PER_S: usize = 100;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that are opened at once; fewer than a server lets wait.
const AT_ONCE: usize = 32;
/// What the kernel may hide of a client that does not read, about.
const UNREAD_BYTES: usize = 4_096;

/// Who connects, and to what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Port of the server on this machine.
    pub port: u16,
    /// What is requested.
    pub path: String,
    /// All clients.
    pub clients: usize,
    /// Those of them that never read after the handshake.
    pub never_read: usize,
    /// Those of them that read slowly.
    pub slow: usize,
    /// How slowly.
    pub slow_bytes_per_s: usize,
    /// What each client sends after the handshake.
    pub command: Option<String>,
}

/// When a run ends; the first of these.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// After this time.
    pub seconds: f64,
    /// Once every reading client has so many counted messages.
    pub messages: Option<u64>,
}

/// Called once every reading client has its first message.
pub type OnBegun<'a> = &'a mut dyn FnMut() -> Result<(), Error>;

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Never after the handshake.
    Never,
    /// So much at a time, and no more.
    Slow,
    /// As fast as it can.
    Eager,
}

/// One client.
#[derive(Debug)]
pub struct Member {
    /// How it reads.
    pub role: Role,
    /// What it has received.
    pub tally: Tally,
    /// When its connection ended, on the monotonic clock.
    pub closed_ns: Option<u64>,
    /// Whether it has received everything that it waited for.
    pub is_done: bool,
    stream: TcpStream,
    /// The beginning of a frame that has not come whole.
    unread: Vec<u8>,
}

/// All clients.
#[derive(Debug)]
pub struct Crowd {
    /// Each of them.
    pub members: Vec<Member>,
    /// When the first and the last byte came, on the monotonic clock.
    pub span_ns: Option<(u64, u64)>,
    /// How many sockets it has read from.
    pub reads: u64,
    events: OwnedFd,
    buffer: Vec<u8>,
    slow_bytes: usize,
}

impl Crowd {
    /// Opens every connection.
    ///
    /// # Errors
    ///
    /// If one cannot be opened.
    pub fn connect(plan: &Plan) -> Result<Self, Error> {
        machine::allow_descriptors(plan.clients as u64 + 64)?;
        let mut members = Vec::with_capacity(plan.clients);
        while members.len() < plan.clients {
            let roles = (members.len()..plan.clients).take(AT_ONCE).map(|index| plan.role(index));
            members.extend(open(plan, roles)?);
        }
        let events = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, member) in members.iter().enumerate() {
            let flags = match member.role {
                Role::Never => epoll::EventFlags::RDHUP,
                Role::Eager => epoll::EventFlags::IN | epoll::EventFlags::RDHUP,
                Role::Slow => continue,
            };
            epoll::add(&events, &member.stream, epoll::EventData::new_u64(index as u64), flags)?;
        }
        Ok(Self {
            members,
            span_ns: None,
            reads: 0,
            events,
            buffer: Vec::new(),
            slow_bytes: plan.slow_bytes_per_s / TICKS_PER_S,
        })
    }

    /// Reads until the end and returns whether every eager client has all that it waited for.
    ///
    /// # Errors
    ///
    /// If the server sends what it may not.
    pub fn read(
        &mut self,
        counter: &mut Counter,
        stop: Stop,
        on_begun: OnBegun<'_>,
    ) -> Result<bool, Error> {
        let mut has_begun = false;
        let begin_ns = machine::monotonic_ns();
        let end_ns = Duration::from_secs_f64(stop.seconds).as_nanos();
        let timeout = Timespec::try_from(TICK)?;
        let mut events = Vec::with_capacity(1024);
        let mut ticked_ns = begin_ns;
        loop {
            events.clear();
            epoll::wait(&self.events, rustix::buffer::spare_capacity(&mut events), Some(&timeout))?;
            for event in &events {
                let index = usize::try_from(event.data.u64())?;
                if self.members[index].role == Role::Never {
                    self.lose(index);
                } else {
                    self.read_one(index, CHUNK_BYTES, counter, stop.messages)?;
                }
            }
            let now_ns = machine::monotonic_ns();
            if now_ns - ticked_ns >= u64::try_from(TICK.as_nanos())? {
                ticked_ns = now_ns;
                self.read_slowly(counter)?;
                if !has_begun && self.eager().all(|member| member.tally.has_begun()) {
                    has_begun = true;
                    on_begun()?;
                }
                let has_ended = |one: &Member| one.is_done || one.closed_ns.is_some();
                if self.eager().all(has_ended) || u128::from(now_ns - begin_ns) >= end_ns {
                    return Ok(self.eager().all(|member| member.is_done));
                }
            }
        }
    }

    fn eager(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.role == Role::Eager)
    }

    fn read_slowly(&mut self, counter: &mut Counter) -> Result<(), Error> {
        for index in 0..self.members.len() {
            let member = &self.members[index];
            if member.role == Role::Slow && member.closed_ns.is_none() {
                self.read_one(index, self.slow_bytes.min(CHUNK_BYTES), counter, None)?;
            }
        }
        Ok(())
    }

    /// Reads once from a client and takes all frames that are whole.
    fn read_one(
        &mut self,
        index: usize,
        most: usize,
        counter: &mut Counter,
        enough: Option<u64>,
    ) -> Result<(), Error> {
        let member = &mut self.members[index];
        let kept = member.unread.len();
        if self.buffer.len() < kept + most {
            self.buffer.resize(kept + most, 0);
        }
        self.buffer[..kept].copy_from_slice(&member.unread);
        let count = match member.stream.read(&mut self.buffer[kept..kept + most]) {
            Ok(0) => 0,
            Ok(count) => count,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => return Err(error.into()),
        };
        if count == 0 {
            self.lose(index);
            return Ok(());
        }
        let monotonic_ns = machine::monotonic_ns();
        let wall_ns = if counter.reads_wall() { machine::wall_ns() } else { 0 };
        self.reads += 1;
        self.span_ns = Some((self.span_ns.map_or(monotonic_ns, |(first, _)| first), monotonic_ns));
        let now = Arrival { monotonic_ns, wall_ns };
        let bytes = &self.buffer[..kept + count];
        let taken =
            member.take(bytes, counter, now).map_err(|error| format!("client {index}: {error}"))?;
        member.unread.clear();
        member.unread.extend_from_slice(&bytes[taken..]);
        member.is_done |= enough.is_some_and(|enough| member.tally.messages >= enough);
        Ok(())
    }

    /// Takes note that a connection has ended.
    fn lose(&mut self, index: usize) {
        let member = &mut self.members[index];
        if member.closed_ns.is_none() {
            member.closed_ns = Some(machine::monotonic_ns());
            if member.role != Role::Slow {
                // It is only about not being told again; that it was watched is certain.
                let _ = epoll::delete(&self.events, &member.stream);
            }
        }
    }
}

impl Member {
    /// Takes all frames that are whole and returns how many bytes they have.
    fn take(&mut self, bytes: &[u8], counter: &mut Counter, now: Arrival) -> Result<usize, Error> {
        let mut taken = 0;
        while let Some(frame) = first_frame(&bytes[taken..])? {
            taken += frame.size;
            match frame.opcode {
                Opcode::Text if frame.is_final => {
                    self.is_done |= counter.take(&mut self.tally, frame.payload, now)?;
                }
                Opcode::Ping => self.stream.write_all(&masked(Opcode::Pong, frame.payload))?,
                Opcode::Close => {
                    // The server may have gone already.
                    let _ = self.stream.write_all(&masked(Opcode::Close, frame.payload));
                }
                Opcode::Pong => {}
                // The contract has one frame for each message, so what came would not be counted.
                Opcode::Text | Opcode::Continuation | Opcode::Binary => {
                    return Err(format!(
                        "frame is {:?}, final: {}, expected whole text",
                        frame.opcode, frame.is_final
                    )
                    .into());
                }
            }
        }
        Ok(taken)
    }
}

impl Plan {
    fn role(&self, index: usize) -> Role {
        if index < self.never_read {
            Role::Never
        } else if index < self.never_read + self.slow {
            Role::Slow
        } else {
            Role::Eager
        }
    }
}

/// Opens some connections; their handshakes overlap.
fn open(plan: &Plan, roles: impl Iterator<Item = Role>) -> Result<Vec<Member>, Error> {
    let mut members = Vec::new();
    for role in roles {
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        if role != Role::Eager {
            sockopt::set_socket_recv_buffer_size(&socket, UNREAD_BYTES)?;
        }
        connect(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, plan.port)))?;
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
        handshake::ask(&mut stream, plan.port, &plan.path)?;
        members.push(Member {
            role,
            tally: Tally::default(),
            closed_ns: None,
            is_done: false,
            stream,
            unread: Vec::new(),
        });
    }
    for member in &mut members {
        member.unread = handshake::await_answer(&mut member.stream)?;
        if let Some(command) = &plan.command {
            member.stream.write_all(&masked(Opcode::Text, command.as_bytes()))?;
        }
        member.stream.set_nonblocking(true)?;
    }
    Ok(members)
}
