//! The functions of `guard.cpp`: llama.cpp's own, with exceptions as codes.

use std::ffi::c_char;

use llama_cpp_sys_2 as sys;

unsafe extern "C" {
    /// `llama_tokenize`; `i32::MIN` for an exception.
    pub(super) fn bedplate_tokenize(
        vocab: *const sys::llama_vocab,
        text: *const c_char,
        len: i32,
        tokens: *mut sys::llama_token,
        max: i32,
        whole: bool,
        control: bool,
    ) -> i32;

    /// `llama_token_to_piece` without control tokens; 0 for an exception.
    pub(super) fn bedplate_token_to_piece(
        vocab: *const sys::llama_vocab,
        token: sys::llama_token,
        buffer: *mut c_char,
        len: i32,
    ) -> i32;

    /// `llama_decode` and `llama_synchronize`; -100 for an exception.
    pub(super) fn bedplate_decode(ctx: *mut sys::llama_context, batch: *const sys::llama_batch) -> i32;
}
