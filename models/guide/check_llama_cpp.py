"""Checks the GGUF against the real llama.cpp (`pip install llama-cpp-python jinja2`; builds for five minutes).

    python check_llama_cpp.py bedplate-guide.q8_0.gguf [N]

Compares, over N held-out questions (0 for all): the tokens of llama.cpp's tokenizer with
ours, the chat template's text with ours, and the greedy answer with the
canonical one; and prints the speed. Exits 1 on any difference of tokens.
"""

import sys
import time

import jinja2
import llama_cpp.llama_cpp as llama_cpp
from llama_cpp import Llama

import chat
import facts as corpus


def without_repacking():
    """Loads weights as they stand in the file.

    llama-cpp-python 0.3.36 built for the machine's own CPU dies in its AMX code
    (`ldtilecfg`, general protection fault) on every Q8_0 model, ours or not.
    """
    default = llama_cpp.llama_model_default_params

    def params():
        p = default()
        p.use_extra_bufts = False
        return p

    llama_cpp.llama_model_default_params = params


def main(path, count):
    without_repacking()
    model = Llama(path, n_ctx=1024, n_threads=1, n_threads_batch=1, verbose=False)
    facts = corpus.load()
    rows = corpus.held_out(facts)
    rows = rows[:: max(1, len(rows) // count)] if count else rows
    template = jinja2.Environment().from_string(model.metadata["tokenizer.chat_template"])
    tokenizer = chat_tokenizer(path)

    wrong_tokens, exact, generated, seconds, prompt_tokens = 0, {}, 0, 0.0, 0
    for i, (name, _, question, answer) in enumerate(rows):
        system = corpus.SYSTEMS[i % len(corpus.SYSTEMS)] if i % 3 == 0 else None
        messages = ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": question}]
        text = template.render(messages=messages, add_generation_prompt=True)
        theirs = model.tokenize(text.encode(), add_bos=False, special=True)
        ours, _ = chat.encode(tokenizer, system, [(question, None)])
        wrong_tokens += theirs != ours
        if theirs != ours and wrong_tokens < 5:
            print("tokens differ", repr(text), theirs, ours)
        began, said = time.perf_counter(), []
        model.reset()
        for token in model.generate(theirs, temp=0.0, repeat_penalty=1.0):
            if token == model.token_eos() or len(said) >= 96:
                break
            said.append(token)
        seconds += time.perf_counter() - began
        generated += len(said)
        prompt_tokens += len(theirs)
        hit = exact.setdefault(name, [0, 0])
        hit[0] += model.detokenize(said).decode(errors="replace") == answer
        hit[1] += 1
    print(f"{len(rows)} questions, {wrong_tokens} tokenized differently")
    for name, (good, n) in sorted(exact.items()):
        print(f"  {name}: exact {good}/{n} = {good / n:.3f}")
    print(f"  {generated} tokens from {prompt_tokens} prompt tokens in {seconds:.1f} s: {generated / seconds:.0f} tokens/s on 1 thread")
    sys.exit(1 if wrong_tokens else 0)


def chat_tokenizer(path):
    """Our tokenizer, rebuilt from the GGUF's own metadata."""
    import gguf
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    fields = gguf.GGUFReader(path).fields
    words = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in chat.SPECIAL])
    return tokenizer


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
