//! What llama.cpp says, kept off the terminal.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, Once, OnceLock};

use llama_cpp_sys_2 as sys;

type Hook = Box<dyn Fn(bool, &str) + Send + Sync>;

static HOOK: OnceLock<Hook> = OnceLock::new();
/// The last warnings and errors, for the reason of a failure. Bounded.
static RECENT: Mutex<Vec<String>> = Mutex::new(Vec::new());
const RECENT_MAX: usize = 8;

thread_local! {
    /// Where the thread that quantizes reports its progress.
    pub(super) static PROGRESS: RefCell<Option<Sender<(u32, u32)>>> = const { RefCell::new(None) };
}

/// Sends llama.cpp's warnings (`false`) and errors (`true`) somewhere. The first
/// call wins; without one they are kept only to explain a failure.
pub fn set_log(hook: impl Fn(bool, &str) + Send + Sync + 'static) {
    let _ = HOOK.set(Box::new(hook));
}

/// Prepares the library; once per process.
pub(super) fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        // SAFETY: `take_line` has the callback's type and lives for ever; both
        // calls are made before any other of the library.
        unsafe {
            sys::llama_log_set(Some(take_line), std::ptr::null_mut());
            sys::llama_backend_init();
        }
    });
}

/// Forgets what was said before the call that may fail.
pub(super) fn begin() {
    RECENT.lock().unwrap_or_else(|e| e.into_inner()).clear();
}

/// What was said since, as the reason of `what`.
pub(super) fn reason(what: &str) -> String {
    let recent = RECENT.lock().unwrap_or_else(|e| e.into_inner());
    if recent.is_empty() { what.to_owned() } else { format!("{what}: {}", recent.join("; ")) }
}

unsafe extern "C" fn take_line(level: sys::ggml_log_level, text: *const c_char, _data: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: llama.cpp passes a zero-terminated text that lives for the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let line = text.trim_end();
    if level == sys::GGML_LOG_LEVEL_INFO {
        let _ = PROGRESS.try_with(|p| tell_progress(line, p));
    }
    if level != sys::GGML_LOG_LEVEL_WARN && level != sys::GGML_LOG_LEVEL_ERROR {
        return;
    }
    let error = level == sys::GGML_LOG_LEVEL_ERROR;
    if error && !line.is_empty() {
        let mut recent = RECENT.lock().unwrap_or_else(|e| e.into_inner());
        if recent.len() == RECENT_MAX {
            recent.remove(0);
        }
        recent.push(line.chars().take(300).collect());
    }
    if let Some(hook) = HOOK.get() {
        // A panic must not unwind into C++.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hook(error, line)));
    }
}

/// Quantization says `[  12/ 291] blk.1...` for each tensor.
fn tell_progress(line: &str, sender: &RefCell<Option<Sender<(u32, u32)>>>) {
    let Ok(sender) = sender.try_borrow() else { return };
    let Some(sender) = sender.as_ref() else { return };
    let inside = line.trim_start().strip_prefix('[').and_then(|l| l.split(']').next());
    let numbers = inside.and_then(|i| i.split_once('/'));
    if let Some((Ok(done), Ok(total))) = numbers.map(|(d, t)| (d.trim().parse(), t.trim().parse())) {
        let _ = sender.send((done, total));
    }
}
