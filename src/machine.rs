//! What the operating system says of this process: memory and processor time, for INFO.
//!
//! Read from `/proc`, so nothing is known where there is none. Reading it takes some ten
//! microseconds; [`MemoryGauge`] keeps what it read for a while.

use std::sync::{Mutex, PoisonError};

/// Memory of this process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// What it has now.
    pub resident: u64,
    /// The most it ever had.
    pub peak: u64,
}

/// Reads [`Memory`] at most every tenth of a second.
#[derive(Debug, Default)]
pub struct MemoryGauge {
    last: Mutex<Option<(u64, Memory)>>,
}

impl MemoryGauge {
    const KEPT_MS: u64 = 100;

    /// The memory of this process, as it was a moment ago.
    pub fn read(&self, now_ms: u64) -> Memory {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((read_ms, memory)) if now_ms.saturating_sub(read_ms) < Self::KEPT_MS => memory,
            _ => {
                let memory =
                    read_file("/proc/self/status").map_or(Memory::default(), |text| Memory {
                        resident: kilobytes(&text, "VmRSS:"),
                        peak: kilobytes(&text, "VmHWM:"),
                    });
                *last = Some((now_ms, memory));
                memory
            }
        }
    }
}

/// File descriptors beside those of clients: files of the store, listeners, the runtime.
const OTHER_FILES: u64 = 128;

/// How many of `wanted` clients this process has file descriptors for, once it has asked the
/// system for all that it may have: segment files of a store, too, are open as long as they
/// live.
pub fn clients_that_fit(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(_) => limit.current,
    };
    let fitting = files.map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES).max(1));
    wanted.min(fitting)
}

/// All memory of the machine in bytes; 0 where that is not known.
pub fn memory_of_machine() -> u64 {
    read_file("/proc/meminfo").map_or(0, |text| kilobytes(&text, "MemTotal:"))
}

/// Processor time that this process has used, in seconds: in the system, and in itself.
pub fn processor_seconds() -> (f64, f64) {
    let Some(stat) = read_file("/proc/self/stat") else {
        return (0.0, 0.0);
    };
    // The second field is the program's name in parentheses, which may hold blanks.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    // Linux counts in hundredths of a second here, whatever its own tick is.
    let seconds = |at: usize| {
        let ticks = fields.get(at).and_then(|field| field.parse::<f64>().ok());
        ticks.unwrap_or(0.0) / 100.0
    };
    (seconds(12), seconds(11))
}

/// The operating system, its version, and the processor's kind: `Linux 6.1.0 x86_64`.
pub fn operating_system() -> String {
    let read = |name: &str| read_file(&format!("/proc/sys/kernel/{name}"));
    let word = |text: String| text.trim().to_owned();
    let system = read("ostype").map_or_else(|| std::env::consts::OS.to_owned(), word);
    let release = read("osrelease").map_or_else(String::new, word);
    format!("{system} {release} {}", std::env::consts::ARCH)
}

fn read_file(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The value of a line like `VmRSS:    1234 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

/// What this machine is called, for messages.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_the_line_of_their_name() {
        let text = "VmHWM:\t    2000 kB\nVmRSS:\t    1234 kB\nRssAnon: x kB\n";
        assert_eq!(kilobytes(text, "VmRSS:"), 1234 * 1024);
        assert_eq!(kilobytes(text, "RssAnon:"), 0);
        assert_eq!(kilobytes(text, "VmSwap:"), 0);
    }

    #[test]
    fn memory_is_not_read_again_for_a_while() {
        let gauge = MemoryGauge::default();
        let kept = Memory { resident: 1, peak: 2 };
        *gauge.last.lock().unwrap() = Some((1000, kept));
        assert_eq!(gauge.read(1099), kept);
        assert_ne!(gauge.read(1100), kept);
    }
}
