//! What a crash may leave behind.

use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Nothing: a core dump is the memory of the process, which is every key, prompt and
/// document that it holds, in plain text. The limit holds for what it starts, too; without
/// the other, a system that pipes dumps to a program would still be given one.
///
/// Both are wishes: where the system refuses one, the server runs without it.
pub fn leave_none() {
    let _ = rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
