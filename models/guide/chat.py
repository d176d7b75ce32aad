"""Tokens and the chat form: one definition for training, evaluation and export."""

import random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import facts as corpus

SPECIAL = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|pad|>"]
END, SYSTEM, USER, ASSISTANT, PAD = range(5)

# Content may be a string or OpenAI-style parts; other roles than these three are read as the user's.
TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message.role == 'system' or message.role == 'developer' -%}{{ '<|system|>' }}"
    "{%- elif message.role == 'assistant' -%}{{ '<|assistant|>' }}"
    "{%- else -%}{{ '<|user|>' }}{%- endif -%}"
    "{%- if message.content is string -%}{{ message.content | trim }}"
    "{%- elif message.content -%}{%- for part in message.content -%}"
    "{%- if part.text -%}{{ part.text | trim }}{%- endif -%}{%- endfor -%}{%- endif -%}"
    "{{ '<|end|>' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)


def train_tokenizer(facts, vocab, seed):
    """Byte-level BPE, as GGUF's `gpt2` tokenizer with the `gpt-2` pre-tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    sampler = corpus.Sampler(facts, seed)
    texts = [fact.answer for fact in facts for _ in range(12)] + corpus.SYSTEMS
    texts += [question for _ in range(20000) for question, _ in sampler.conversation()[1]]
    texts += [text.upper() for text in random.Random(seed).sample(texts, 500)]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode(tokenizer, system, turns):
    """Ids and a mask that is 1 on what the assistant must say (its end token included)."""
    ids, mask = [], []

    def put(tokens, said):
        ids.extend(tokens)
        mask.extend([said] * len(tokens))

    words = lambda text: tokenizer.encode(text.strip()).ids
    if system is not None:
        put([SYSTEM, *words(system), END], 0)
    for question, answer in turns:
        put([USER, *words(question), END, ASSISTANT], 0)
        if answer is not None:
            put([*words(answer), END], 1)
    return ids, mask
