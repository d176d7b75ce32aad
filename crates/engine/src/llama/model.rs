//! A loaded model: its weights and its vocabulary.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_void};
use std::path::Path;
use std::ptr::NonNull;

use llama_cpp_sys_2 as sys;
use scheduler::{Token, Vocab};

use super::{guard, log};
use crate::Error;
use crate::parse::MARKS;

type Progress = Box<dyn FnMut(f32) -> bool>;

thread_local! {
    /// Whom this thread's loads tell how far they are.
    static PROGRESS: RefCell<Option<Progress>> = const { RefCell::new(None) };
}

/// Runs `load`, whose loads on this thread report to `progress`; they end when it says `false`.
pub(crate) fn reporting<T>(progress: impl FnMut(f32) -> bool + 'static, load: impl FnOnce() -> T) -> T {
    PROGRESS.set(Some(Box::new(progress)));
    let loaded = load();
    PROGRESS.set(None);
    loaded
}

/// llama.cpp's callback. It loads on the thread that asked it to.
extern "C" fn progressed(done: f32, _: *mut c_void) -> bool {
    PROGRESS.with_borrow_mut(|progress| progress.as_mut().is_none_or(|progress| progress(done)))
}

/// See the soundness notes of the parent module.
pub(crate) struct Model {
    ptr: NonNull<sys::llama_model>,
    vocab: NonNull<sys::llama_vocab>,
}

// SAFETY: immutable after loading; the vocabulary's functions are thread-safe.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: loaded by us, freed once; contexts hold an `Arc`, so none is left.
        unsafe { sys::llama_model_free(self.ptr.as_ptr()) }
    }
}

/// How a tokenizer ends the texts of a pair.
pub(crate) struct PairMarks {
    /// Where the model wants them.
    pub eos: Option<Token>,
    pub sep: Option<Token>,
    /// Where it says nothing.
    pub any_end: Option<Token>,
}

impl Model {
    /// Loads a file that `gguf::check_model` has passed. Blocks.
    pub(crate) fn load(path: &Path) -> Result<Model, Error> {
        log::init();
        let path = path_text(path)?;
        log::begin();
        // SAFETY: plain values; the path is zero-terminated and lives for the call.
        let ptr = unsafe {
            let mut params = sys::llama_model_default_params();
            params.n_gpu_layers = 0;
            params.progress_callback = Some(progressed);
            sys::llama_model_load_from_file(path.as_ptr(), params)
        };
        let ptr =
            NonNull::new(ptr).ok_or_else(|| Error::Failed(log::reason("llama.cpp refused the model")))?;
        // SAFETY: the model is valid; its vocabulary lives as long as it does.
        let vocab = unsafe { sys::llama_model_get_vocab(ptr.as_ptr()) };
        match NonNull::new(vocab.cast_mut()) {
            Some(vocab) => Ok(Model { ptr, vocab }),
            None => {
                // SAFETY: loaded above and not kept.
                unsafe { sys::llama_model_free(ptr.as_ptr()) };
                Err(Error::Failed("the model has no vocabulary".into()))
            }
        }
    }

    pub(super) fn as_ptr(&self) -> *mut sys::llama_model {
        self.ptr.as_ptr()
    }
    fn vocab(&self) -> *const sys::llama_vocab {
        self.vocab.as_ptr()
    }

    pub(crate) fn n_vocab(&self) -> u32 {
        // SAFETY: valid for the life of `self`; the same for each call below.
        unsafe { sys::llama_vocab_n_tokens(self.vocab()) }.max(0) as u32
    }
    pub(crate) fn n_embd(&self) -> u32 {
        // SAFETY: as above.
        unsafe { sys::llama_model_n_embd_out(self.as_ptr()) }.max(0) as u32
    }
    /// Numbers that the head of a ranking model gives.
    pub(crate) fn n_head(&self) -> u32 {
        // SAFETY: as above.
        unsafe { sys::llama_model_n_cls_out(self.as_ptr()) }
    }
    pub(crate) fn n_params(&self) -> u64 {
        // SAFETY: as above.
        unsafe { sys::llama_model_n_params(self.as_ptr()) }
    }
    pub(crate) fn has_decoder(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::llama_model_has_decoder(self.as_ptr()) }
    }
    pub(crate) fn has_encoder(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::llama_model_has_encoder(self.as_ptr()) }
    }
    /// Whether the state is not made of cells that can be cut and shared.
    pub(crate) fn is_recurrent(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::llama_model_is_recurrent(self.as_ptr()) || sys::llama_model_is_hybrid(self.as_ptr()) }
    }
    /// The token that begins a text, when the model wants one there.
    pub(crate) fn wants_bos(&self) -> Option<Token> {
        // SAFETY: as above.
        let (wanted, token) =
            unsafe { (sys::llama_vocab_get_add_bos(self.vocab()), sys::llama_vocab_bos(self.vocab())) };
        u32::try_from(token).ok().filter(|_| wanted)
    }
    /// The tokens that end a text of a pair.
    pub(crate) fn pair_marks(&self) -> PairMarks {
        // SAFETY: as above.
        let (eos, sep, add_eos, add_sep) = unsafe {
            (
                sys::llama_vocab_eos(self.vocab()),
                sys::llama_vocab_sep(self.vocab()),
                sys::llama_vocab_get_add_eos(self.vocab()),
                sys::llama_vocab_get_add_sep(self.vocab()),
            )
        };
        let known = |token: sys::llama_token| u32::try_from(token).ok().filter(|t| *t < self.n_vocab());
        let (eos, sep) = (known(eos), known(sep));
        PairMarks { eos: eos.filter(|_| add_eos), sep: sep.filter(|_| add_sep), any_end: eos.or(sep) }
    }
    /// The texts of the tokens that begin and end a text; empty where there is none.
    pub(crate) fn bos_eos(&self) -> (String, String) {
        // SAFETY: as above.
        let (bos, eos) = unsafe { (sys::llama_vocab_bos(self.vocab()), sys::llama_vocab_eos(self.vocab())) };
        (self.text_of(bos), self.text_of(eos))
    }
    /// The texts of control tokens, which a user's words must not become.
    pub(crate) fn control_texts(&self) -> Vec<String> {
        (0..self.n_vocab() as i32)
            // SAFETY: the token is below `n_vocab`.
            .filter(|t| unsafe { sys::llama_vocab_is_control(self.vocab(), *t) })
            .map(|t| self.text_of(t))
            .filter(|t| t.len() > 1)
            .collect()
    }
    fn text_of(&self, token: sys::llama_token) -> String {
        if token < 0 || token as u32 >= self.n_vocab() {
            return String::new();
        }
        // SAFETY: the token is in range; the text lives as long as the model.
        let text = unsafe { sys::llama_vocab_get_text(self.vocab(), token) };
        if text.is_null() {
            return String::new();
        }
        // SAFETY: zero-terminated, owned by the model.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    /// What grammars see of the tokens, and those that end a turn.
    pub(crate) fn grammar_pieces(&self) -> (Vec<constrain::Piece>, Vec<Token>) {
        let n = self.n_vocab() as i32;
        let mut buffer = vec![0u8; 256];
        let piece = |t: sys::llama_token| {
            let text = self.text_of(t);
            // SAFETY: the token is below `n_vocab`.
            let control = unsafe { sys::llama_vocab_is_control(self.vocab(), t) };
            match control || MARKS.contains(&text.as_str()) {
                true => constrain::Piece::Mark(text),
                false => constrain::Piece::Text(self.piece(t, &mut buffer)),
            }
        };
        let pieces = (0..n).map(piece).collect();
        // SAFETY: as above.
        let ends = (0..n).filter(|t| unsafe { sys::llama_vocab_is_eog(self.vocab(), *t) });
        (pieces, ends.map(|t| t as Token).collect())
    }

    /// The bytes of every token, and those that end a turn. Control tokens have
    /// none, but for the marks that say what a text means.
    pub(crate) fn pieces(&self) -> Vocab {
        let n = self.n_vocab() as i32;
        let mut buffer = vec![0u8; 256];
        let pieces: Vec<Vec<u8>> = (0..n)
            .map(|t| match self.piece(t, &mut buffer) {
                piece if piece.is_empty() => match self.text_of(t) {
                    text if MARKS.contains(&text.as_str()) => text.into_bytes(),
                    _ => piece,
                },
                piece => piece,
            })
            .collect();
        // SAFETY: the token is below `n_vocab`.
        let ends = (0..n).filter(|t| unsafe { sys::llama_vocab_is_eog(self.vocab(), *t) });
        Vocab::new(pieces, ends.map(|t| t as Token).collect())
    }
    fn piece(&self, token: sys::llama_token, buffer: &mut Vec<u8>) -> Vec<u8> {
        loop {
            // SAFETY: the token is in range, the buffer has the length passed.
            let len = unsafe {
                guard::bedplate_token_to_piece(
                    self.vocab(),
                    token,
                    buffer.as_mut_ptr().cast(),
                    buffer.len() as i32,
                )
            };
            if let Ok(len) = usize::try_from(len) {
                return buffer[..len.min(buffer.len())].to_vec();
            }
            let need = len.unsigned_abs() as usize;
            if need <= buffer.len() || need > 1 << 20 {
                return Vec::new();
            }
            buffer.resize(need, 0);
        }
    }

    /// Text to tokens. `whole`: add what the model wants at the start (and end)
    /// of a text; `control`: texts of control tokens become those tokens.
    pub(crate) fn tokenize(&self, text: &str, whole: bool, control: bool) -> Result<Vec<Token>, Error> {
        let len = i32::try_from(text.len())
            .map_err(|_| Error::Unsupported("the prompt is over 2 GiB".to_owned()))?;
        // A token is at least a byte, but for spaces that fall back to three.
        let mut tokens = vec![0i32; text.len() + 8];
        let mut count = self.tokenize_into(text, len, &mut tokens, whole, control);
        if count < 0 && count != i32::MIN {
            tokens.resize(count.unsigned_abs() as usize, 0);
            count = self.tokenize_into(text, len, &mut tokens, whole, control);
        }
        let count =
            usize::try_from(count).map_err(|_| Error::Failed("the text could not be tokenized".into()))?;
        Ok(tokens[..count].iter().map(|t| *t as Token).collect())
    }

    /// The number of tokens; negative: as many are needed; `i32::MIN`: an exception.
    fn tokenize_into(&self, text: &str, len: i32, tokens: &mut [i32], whole: bool, control: bool) -> i32 {
        let max = i32::try_from(tokens.len()).unwrap_or(i32::MAX);
        // SAFETY: `len` is the length of `text`, and `tokens` has at least `max` elements.
        unsafe {
            let (text, tokens) = (text.as_ptr().cast(), tokens.as_mut_ptr());
            guard::bedplate_tokenize(self.vocab(), text, len, tokens, max, whole, control)
        }
    }
}

pub(super) fn path_text(path: &Path) -> Result<CString, Error> {
    CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| Error::Failed(format!("{} holds a zero byte", path.display())))
}
