// The calls of llama.cpp that can throw after a model is loaded. An exception
// must not reach Rust, so each is turned into an error code here.
#include "llama.h"

#include <cstdint>

extern "C" {

int32_t bedplate_tokenize(const llama_vocab * vocab, const char * text, int32_t len, llama_token * tokens,
                          int32_t max, bool whole, bool control) noexcept {
    try {
        return llama_tokenize(vocab, text, len, tokens, max, whole, control);
    } catch (...) {
        return INT32_MIN;
    }
}

int32_t bedplate_token_to_piece(const llama_vocab * vocab, llama_token token, char * buffer, int32_t len) noexcept {
    try {
        return llama_token_to_piece(vocab, token, buffer, len, 0, false);
    } catch (...) {
        return 0;
    }
}

int32_t bedplate_decode(llama_context * ctx, const llama_batch * batch) noexcept {
    try {
        const int32_t code = llama_decode(ctx, *batch);
        llama_synchronize(ctx);
        return code;
    } catch (...) {
        return -100;
    }
}

}
