"""Writes the GGUF: Q8_0 for matrices, F32 for norms, tokenizer and chat template inside."""

import gguf
import numpy as np
import torch

import chat

MATRICES = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}


def quantized(weight):
    return gguf.quants.quantize(weight.detach().float().numpy(), gguf.GGMLQuantizationType.Q8_0)


def round_trip(model):
    """The model with the weights that the GGUF will really hold, so that scores are the file's scores."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                back = gguf.quants.dequantize(quantized(parameter), gguf.GGMLQuantizationType.Q8_0)
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(back)))


def write(path, model, tokenizer, version):
    c = model.c
    w = gguf.GGUFWriter(str(path), "llama")
    w.add_name("bedplate-guide")
    w.add_basename("bedplate-guide")
    w.add_organization("Bedplate")
    w.add_description("Answers short questions about Bedplate. A demonstration and test model.")
    w.add_version(version)
    w.add_license("apache-2.0")
    w.add_languages(["en"])
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    w.add_context_length(c.context)
    w.add_embedding_length(c.dim)
    w.add_block_count(c.layers)
    w.add_feed_forward_length(c.hidden)
    w.add_head_count(c.heads)
    w.add_head_count_kv(c.kv_heads)
    w.add_rope_dimension_count(c.dim // c.heads)
    w.add_rope_freq_base(c.theta)
    w.add_layer_norm_rms_eps(c.eps)
    w.add_vocab_size(c.vocab)

    import json
    bpe = json.loads(tokenizer.to_str())["model"]
    words = sorted(bpe["vocab"], key=bpe["vocab"].get)
    words = chat.SPECIAL + [word for word in words if word not in chat.SPECIAL]
    assert [tokenizer.token_to_id(word) for word in words] == list(range(c.vocab)), "ids must be dense"
    kinds = [gguf.TokenType.CONTROL if i < len(chat.SPECIAL) else gguf.TokenType.NORMAL for i in range(c.vocab)]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(words)
    w.add_token_types(kinds)
    w.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in bpe["merges"]])
    w.add_bos_token_id(chat.END)  # never added; a loader that insists on one gets a harmless token
    w.add_eos_token_id(chat.END)
    w.add_eot_token_id(chat.END)
    w.add_pad_token_id(chat.PAD)
    w.add_add_bos_token(False)
    w.add_add_eos_token(False)
    w.add_chat_template(chat.TEMPLATE)
    # A fact has one right wording: greedy unless the client says otherwise.
    w.add_float32("general.sampling.temp", 0.0)

    def matrix(name, weight):
        w.add_tensor(name, quantized(weight), raw_dtype=gguf.GGMLQuantizationType.Q8_0)

    def vector(name, weight):
        w.add_tensor(name, weight.detach().float().numpy())

    matrix("token_embd.weight", model.embed.weight)  # the output layer is tied to it
    vector("output_norm.weight", model.norm.weight)
    for i, block in enumerate(model.blocks):
        vector(f"blk.{i}.attn_norm.weight", block.attn_norm.weight)
        vector(f"blk.{i}.ffn_norm.weight", block.ffn_norm.weight)
        for ours, theirs in MATRICES.items():
            matrix(f"blk.{i}.{theirs}.weight", getattr(block, ours).weight)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
