//! What is asked of the system: cores, clocks, descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use crate::Error;

const NS_PER_S: u64 = 1_000_000_000;

/// Keeps this process on one core.
///
/// # Errors
///
/// If the system has no such core, or does not give it.
pub fn pin(core: usize) -> Result<(), Error> {
    let mut cores = CpuSet::new();
    if core >= CpuSet::MAX_CPU {
        return Err(format!("core is {core}, expected below {}", CpuSet::MAX_CPU).into());
    }
    cores.set(core);
    sched_setaffinity(None, &cores)
        .map_err(|error| format!("cannot run on core {core}: {error}").into())
}

/// Lets this process open so many descriptors.
///
/// # Errors
///
/// If the system does not allow them.
pub fn allow_descriptors(count: u64) -> Result<(), Error> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    let raised =
        Rlimit { current: Some(count), maximum: limit.maximum.map(|maximum| maximum.max(count)) };
    setrlimit(Resource::Nofile, raised).map_err(|error| {
        format!("cannot open {count} descriptors, only {:?}: {error}", limit.maximum).into()
    })
}

/// Returns nanoseconds of the monotonic clock.
#[must_use]
pub fn monotonic_ns() -> u64 {
    now_ns(ClockId::Monotonic)
}

/// Returns nanoseconds since the Unix epoch.
#[must_use]
pub fn wall_ns() -> u64 {
    now_ns(ClockId::Realtime)
}

/// Returns the processor time that this process has used, in nanoseconds.
#[must_use]
pub fn cpu_ns() -> u64 {
    now_ns(ClockId::ProcessCPUTime)
}

fn now_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * NS_PER_S + u64::try_from(time.tv_nsec).unwrap_or_default()
}
