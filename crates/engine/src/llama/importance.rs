//! Which columns of a weight matter, measured on a text.
//!
//! Quantization rounds each weight to a few levels; given how large the inputs
//! are that meet each column, it can keep those columns truer that count. So a
//! text is run through the model, and for each product of a weight with
//! activations the squares of the activations are summed by column. llama.cpp
//! offers each node of the graph to a callback before and after it is computed.
//!
//! Only plain products are watched: the experts of a mixture get no figures and
//! are rounded as without.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_void};
use std::path::Path;
use std::sync::Arc;

use llama_cpp_sys_2 as sys;
use scheduler::Row;

use super::context::Batch;
use super::model::Model;
use super::{guard, log};
use crate::{Error, load};

/// Rows in one step. All of them ask for logits, because the last layer only
/// computes those that do; at 150,000 tokens of vocabulary that is 77 MB.
const ROWS: usize = 128;
/// Tokens of text that each window begins anew with.
const WINDOW: usize = 512;

/// Mean squares of the inputs of each weight, by column.
pub struct Importance {
    columns: BTreeMap<String, Vec<f32>>,
    /// Tokens of text they were measured on.
    pub tokens: u64,
}

impl Importance {
    /// Weights there are figures for.
    pub fn len(&self) -> usize {
        self.columns.len()
    }
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }
    /// The figures of a weight, one per column.
    pub fn of(&self, weight: &str) -> Option<&[f32]> {
        self.columns.get(weight).map(Vec::as_slice)
    }
}

/// As `llama_model_quantize` takes it: a list that ends with a null name.
pub(super) struct Listed {
    list: Vec<sys::llama_model_imatrix_data>,
    _names: Vec<CString>,
}

impl Listed {
    /// Points into `importance` and into itself, so it lives as long as the call.
    pub(super) fn new(importance: &Importance) -> Listed {
        // A name came from C, so it holds no zero byte.
        let names: Vec<CString> =
            importance.columns.keys().map(|name| CString::new(name.as_str()).unwrap_or_default()).collect();
        let mut list: Vec<_> = names
            .iter()
            .zip(importance.columns.values())
            .map(|(name, data)| sys::llama_model_imatrix_data {
                name: name.as_ptr(),
                data: data.as_ptr(),
                size: data.len(),
            })
            .collect();
        list.push(sys::llama_model_imatrix_data { name: std::ptr::null(), data: std::ptr::null(), size: 0 });
        Listed { list, _names: names }
    }
    pub(super) fn as_ptr(&self) -> *const sys::llama_model_imatrix_data {
        self.list.as_ptr()
    }
}

/// Sums of squares by column, and how many rows were summed.
#[derive(Default)]
struct Sums(BTreeMap<String, (Vec<f64>, u64)>);

impl Sums {
    fn means(self) -> BTreeMap<String, Vec<f32>> {
        let mean = |(sums, rows): (Vec<f64>, u64)| sums.iter().map(|s| (s / rows as f64) as f32).collect();
        self.0.into_iter().map(|(name, sums)| (name, mean(sums))).collect()
    }
}

/// A context whose graph is watched. The sums are boxed: llama.cpp keeps their address.
struct Watched {
    ctx: *mut sys::llama_context,
    sums: *mut Sums,
    _model: Arc<Model>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        // SAFETY: both made in `measure`, freed once; the context, which uses the sums, first.
        unsafe {
            sys::llama_free(self.ctx);
            drop(Box::from_raw(self.sums));
        }
    }
}

/// Runs at most `tokens_max` tokens of a text through a model of F32 or F16
/// weights. Blocks; `progress` gets (tokens done, all).
///
/// # Errors
/// When the model does not load, or the text has fewer than 32 tokens.
pub fn measure_importance(
    path: &Path,
    text: &str,
    tokens_max: u32,
    threads: u32,
    mut progress: impl FnMut(u64, u64),
) -> Result<Importance, Error> {
    load::read_header(path)?;
    let model = Arc::new(Model::load(path)?);
    let mut tokens = model.tokenize(text, false, false)?;
    tokens.truncate(tokens_max as usize);
    if tokens.len() < 32 {
        return Err(Error::Unsupported(format!("the text has {} tokens; 32 are the least", tokens.len())));
    }
    let sums = Box::into_raw(Box::new(Sums::default()));
    log::begin();
    // SAFETY: plain values, and a callback whose data outlives the context.
    let ctx = unsafe {
        let mut p = sys::llama_context_default_params();
        p.n_ctx = WINDOW as u32 + 1;
        p.n_batch = ROWS as u32;
        p.n_ubatch = ROWS as u32;
        p.n_seq_max = 1;
        p.n_outputs_max = ROWS as u32;
        p.n_threads = threads as i32;
        p.n_threads_batch = threads as i32;
        p.no_perf = true;
        p.cb_eval = Some(watch);
        p.cb_eval_user_data = sums.cast();
        sys::llama_init_from_model(model.as_ptr(), p)
    };
    if ctx.is_null() {
        // SAFETY: made above and not kept by anybody.
        drop(unsafe { Box::from_raw(sums) });
        return Err(Error::Failed(log::reason("llama.cpp made no context")));
    }
    let bos = model.wants_bos();
    let watched = Watched { ctx, sums, _model: model };
    let (mut batch, mut done) = (Batch::default(), 0u64);
    for window in tokens.chunks(WINDOW) {
        // SAFETY: the context is valid; a whole sequence can always go.
        unsafe { sys::llama_memory_seq_rm(sys::llama_get_memory(ctx), 0, -1, -1) };
        let all = bos.iter().chain(window).enumerate();
        let rows: Vec<Row> =
            all.map(|(pos, token)| Row { token: *token, pos: pos as u32, seq: 0, logits: true }).collect();
        for rows in rows.chunks(ROWS) {
            batch.fill(rows.iter());
            let raw = batch.raw();
            log::begin();
            // SAFETY: the arrays live for the call; tokens are of the vocabulary,
            // positions below `n_ctx`, at most `n_batch` rows.
            let code = unsafe { guard::bedplate_decode(ctx, &raw const raw) };
            if code != 0 {
                return Err(Error::Failed(log::reason(&format!("llama.cpp answered {code}"))));
            }
            done += rows.len() as u64;
            progress(done.min(tokens.len() as u64), tokens.len() as u64);
        }
    }
    // SAFETY: no step runs, so nobody else uses the sums.
    let columns = std::mem::take(unsafe { &mut *watched.sums }).means();
    Ok(Importance { columns, tokens: tokens.len() as u64 })
}

/// The product of a weight with activations that this node is, if it is one.
///
/// # Safety
/// `node` is a node of a graph of llama.cpp, with its sources.
unsafe fn product<'a>(node: *const sys::ggml_tensor) -> Option<(&'a str, &'a sys::ggml_tensor)> {
    // SAFETY: a node is valid during the callback, and a product has two sources.
    let (weight, input) = unsafe {
        let node = &*node;
        if node.op != sys::GGML_OP_MUL_MAT {
            return None;
        }
        (node.src[0].as_ref()?, node.src[1].as_ref()?)
    };
    // SAFETY: a tensor's name is zero-terminated within its array.
    let name = unsafe { CStr::from_ptr(weight.name.as_ptr()) }.to_str().ok()?;
    let plain = input.type_ == sys::GGML_TYPE_F32 && input.ne[2] == 1 && input.ne[3] == 1;
    (plain && name.ends_with(".weight")).then_some((name, input))
}

/// llama.cpp asks whether it should stop after this node, and comes again when
/// it has computed it. Called by the thread that steps.
unsafe extern "C" fn watch(node: *mut sys::ggml_tensor, ask: bool, data: *mut c_void) -> bool {
    // SAFETY: the node is valid for the call.
    let Some((name, input)) = (unsafe { product(node) }) else { return !ask };
    // SAFETY: as above; a computed tensor has a buffer, of its own or of what it views.
    let host = unsafe {
        let buffer = if input.buffer.is_null() {
            input.view_src.as_ref().map_or(std::ptr::null_mut(), |t| t.buffer)
        } else {
            input.buffer
        };
        !buffer.is_null() && sys::ggml_backend_buffer_is_host(buffer)
    };
    if ask {
        return host;
    }
    if !host || input.data.is_null() || input.nb[0] != size_of::<f32>() {
        return true;
    }
    let (columns, rows) = (input.ne[0].max(0) as usize, input.ne[1].max(0) as usize);
    // SAFETY: `data` are the sums, which outlive the context; only this thread uses them during a step.
    let sums = unsafe { &mut *data.cast::<Sums>() };
    let (sums, count) = sums.0.entry(name.to_owned()).or_insert_with(|| (vec![0.0; columns], 0));
    if sums.len() != columns {
        return true;
    }
    for row in 0..rows {
        // SAFETY: the tensor has `rows` rows of `columns` floats, `nb[1]` bytes apart.
        let values = unsafe {
            std::slice::from_raw_parts(input.data.byte_add(row * input.nb[1]).cast::<f32>(), columns)
        };
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += f64::from(*value) * f64::from(*value);
        }
    }
    *count += rows as u64;
    true
}
