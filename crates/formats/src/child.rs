//! The child's side: gives up what it does not need, reads one document, ends.

use std::io::{BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use context::parse::Error;
use rustix::process::{Resource, Rlimit};

use crate::Sink;
use crate::reader::Bounds;
use crate::wire::{self, HEAD};

/// What `bedplate format-process` does: reads the one document at standard input.
pub fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("format-process: {why}");
            ExitCode::from(1)
        }
    }
}

fn serve() -> std::io::Result<()> {
    let mut stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    // When memory runs out this process goes, not the server with its books.
    let _ = std::fs::write("/proc/self/oom_score_adj", "900");
    let mut head = [0; HEAD];
    stream.read_exact(&mut head)?;
    let by_hand = || std::io::Error::other("this command is started by `bedplate serve`, not by hand");
    let request = wire::read_request(&head).ok_or_else(by_hand)?;
    give_up(&request.bounds)?;
    if request.bytes > request.limits.bytes {
        return Err(by_hand());
    }
    let mut bytes = vec![0; request.bytes];
    stream.read_exact(&mut bytes)?;
    let mut out = BufWriter::with_capacity(1 << 16, stream);
    let mut gone = None;
    let mut send = |piece| {
        wire::write_piece(&mut out, &piece).map_err(|error| {
            gone = Some(error);
            Error::Reader("has nobody to tell".into())
        })
    };
    let result = crate::read(&bytes, request.format, &mut Sink::new(&request.limits, &mut send));
    if let Some(error) = gone {
        return Err(error);
    }
    wire::write_end(&mut out, &result)?;
    out.flush()
}

/// From here on: no file and no socket can be opened, no file can grow, no process can be
/// started, and memory and time are what they are. A limit that is refused ends the child:
/// a document is not read without them.
pub fn give_up(bounds: &Bounds) -> std::io::Result<()> {
    let limits = [
        (Resource::As, bounds.memory_bytes),
        (Resource::Cpu, bounds.cpu_seconds),
        (Resource::Nofile, 0),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        // A core file would hold the document.
        (Resource::Core, 0),
    ];
    for (resource, limit) in limits {
        rustix::process::setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(())
}
