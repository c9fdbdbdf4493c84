//! `fanout-client`: many WebSocket clients in one thread that count exactly what they receive.
//!
//! It prints one JSON object when every client that reads has all it waited for, or time is over,
//! and if asked a line before it, once each of them has its first message.

use std::io::{Write, stdout};
use std::process::ExitCode;

use fanout::crowd::{Crowd, Member, Plan, Role, Stop};
use fanout::tally::{Counter, Stamp};
use fanout::{Error, exit_code, machine};
use lexopt::prelude::{Long, ValueExt};
use serde_json::{Value, json};

const USAGE: &str = "\
fanout-client --port PORT [options]

  --path PATH                what is requested (/ws/status)
  --clients N                clients in all (1)
  --never-read N             those of them that never read after the handshake (0)
  --slow N                   those of them that read slowly (0)
  --slow-bytes-per-s BYTES   how slowly (65536)
  --send TEXT                what each client sends after the handshake
  --count TYPE               type of the messages that are counted (trade)
  --stamp FIELD              their field that begins with nanoseconds of the monotonic clock
  --stamp-wall-ms FIELD      their field with milliseconds since the epoch
  --until TYPE               a client is done once it has a message of this type
  --messages N               a client is done once it has so many counted messages
  --seconds S                the end in any case (60)
  --tell-begun               print a line once every client that reads has its first message
  --core N                   the core to run on
";

struct Options {
    plan: Plan,
    stop: Stop,
    count: String,
    stamp: Option<(String, Stamp)>,
    until: Option<String>,
    tells_begun: bool,
    core: Option<usize>,
}

fn main() -> ExitCode {
    exit_code("fanout-client", run())
}

fn run() -> Result<(), Error> {
    let Some(options) = read_options()? else {
        return Ok(stdout().write_all(USAGE.as_bytes())?);
    };
    if let Some(core) = options.core {
        machine::pin(core)?;
    }
    let stamp = options.stamp.as_ref().map(|(name, stamp)| (name.as_str(), *stamp));
    let mut counter = Counter::new(&options.count, options.until.as_deref(), stamp)?;
    let mut crowd = Crowd::connect(&options.plan)?;
    let cpu_ns = machine::cpu_ns();
    let mut on_begun = || {
        if options.tells_begun {
            writeln!(stdout(), "{}", json!({"event": "begun"}))?;
        }
        Ok(())
    };
    let is_complete = crowd.read(&mut counter, options.stop, &mut on_begun)?;
    let found = found(&crowd, &counter, is_complete, machine::cpu_ns() - cpu_ns);
    Ok(writeln!(stdout(), "{found}")?)
}

fn read_options() -> Result<Option<Options>, Error> {
    let mut options = Options {
        plan: Plan {
            port: 0,
            path: "/ws/status".into(),
            clients: 1,
            never_read: 0,
            slow: 0,
            slow_bytes_per_s: 65_536,
            command: None,
        },
        stop: Stop { seconds: 60.0, messages: None },
        count: "trade".into(),
        stamp: None,
        until: None,
        tells_begun: false,
        core: None,
    };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        let plan = &mut options.plan;
        match argument {
            Long("port") => plan.port = arguments.value()?.parse()?,
            Long("path") => plan.path = arguments.value()?.string()?,
            Long("clients") => plan.clients = arguments.value()?.parse()?,
            Long("never-read") => plan.never_read = arguments.value()?.parse()?,
            Long("slow") => plan.slow = arguments.value()?.parse()?,
            Long("slow-bytes-per-s") => plan.slow_bytes_per_s = arguments.value()?.parse()?,
            Long("send") => plan.command = Some(arguments.value()?.string()?),
            Long("count") => options.count = arguments.value()?.string()?,
            Long("stamp") => {
                options.stamp = Some((arguments.value()?.string()?, Stamp::MonotonicNs));
            }
            Long("stamp-wall-ms") => {
                options.stamp = Some((arguments.value()?.string()?, Stamp::WallMs));
            }
            Long("until") => options.until = Some(arguments.value()?.string()?),
            Long("messages") => options.stop.messages = Some(arguments.value()?.parse()?),
            Long("seconds") => options.stop.seconds = arguments.value()?.parse()?,
            Long("tell-begun") => options.tells_begun = true,
            Long("core") => options.core = Some(arguments.value()?.parse()?),
            Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    check(&options)?;
    Ok(Some(options))
}

fn check(options: &Options) -> Result<(), Error> {
    let plan = &options.plan;
    if plan.port == 0 {
        return Err("--port is missing, expected the port of a server on this machine".into());
    }
    if plan.never_read.saturating_add(plan.slow) > plan.clients {
        return Err(
            format!("--never-read and --slow are more than --clients {}", plan.clients).into()
        );
    }
    if plan.slow > 0 && plan.slow_bytes_per_s < 100 {
        return Err(format!(
            "--slow-bytes-per-s is {}, expected at least 100",
            plan.slow_bytes_per_s
        )
        .into());
    }
    if !(0.0..1e9).contains(&options.stop.seconds) {
        return Err(format!("--seconds is {}, expected 0 or more", options.stop.seconds).into());
    }
    Ok(())
}

/// Returns everything that was counted, as it is printed.
fn found(crowd: &Crowd, counter: &Counter, is_complete: bool, cpu_ns: u64) -> Value {
    let sum = |of: fn(&Member) -> u64| crowd.members.iter().map(of).sum::<u64>();
    let types = counter
        .types
        .iter()
        .map(|(name, count)| (String::from_utf8_lossy(name).into_owned(), json!(count)));
    let (first_ns, last_ns) = crowd.span_ns.unwrap_or_default();
    json!({
        "is_complete": is_complete,
        "messages": sum(|member| member.tally.messages),
        "bytes": sum(|member| member.tally.bytes),
        "missing": sum(|member| member.tally.missing),
        "repeated": sum(|member| member.tally.repeated),
        "announced": sum(|member| member.tally.announced),
        "types": types.collect::<serde_json::Map<_, _>>(),
        "first_ns": first_ns,
        "last_ns": last_ns,
        "cpu_ns": cpu_ns,
        "reads": crowd.reads,
        "latency_ns": latency(counter),
        "clients": crowd.members.iter().map(shown).collect::<Vec<_>>(),
    })
}

fn latency(counter: &Counter) -> Value {
    let of = |quantile: f64| counter.latency.value_at_quantile(quantile);
    if counter.latency.is_empty() {
        return Value::Null;
    }
    json!({
        "p50": of(0.5), "p99": of(0.99), "p999": of(0.999), "max": counter.latency.max(),
        "count": counter.latency.len(),
    })
}

fn shown(member: &Member) -> Value {
    let tally = &member.tally;
    json!({
        "role": match member.role {
            Role::Never => "never",
            Role::Slow => "slow",
            Role::Eager => "eager",
        },
        "messages": tally.messages,
        "bytes": tally.bytes,
        "missing": tally.missing,
        "repeated": tally.repeated,
        "announced": tally.announced,
        "is_done": member.is_done,
        "closed_ns": member.closed_ns,
    })
}
