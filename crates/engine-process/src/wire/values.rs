//! The vocabulary of inference and of the engine, field by field.

use std::sync::Arc;

use chat::{
    Axis, Event, Finish, Format, Image, Message, Part, Reasoning, Request, Role, Sampling, Tier,
    TokenLogprob, Tool, ToolChoice, TopLogprob, Usage, UsageSource,
};
use engine::{BannedTexts, Caller, Error, Health, ModelInfo, Stats};
use gguf::Estimate;
use scheduler::{BlockKey, Standing, StepTime, Tenant};
use units::Micros;

use super::bytes::{Blob, Damaged, Reader, Result, Wire, choice, record};

record!(Request {
    model,
    messages,
    tools,
    tool_choice,
    parallel_tool_calls,
    sampling,
    max_tokens,
    stop,
    n,
    logprobs,
    format,
    reasoning,
    stream,
    stream_usage,
    user,
    tier,
    echo,
    suffix,
});
record!(Message { role, parts, name });
record!(Tool { name, description, parameters, strict });
record!(Sampling {
    temperature,
    top_p,
    top_k,
    min_p,
    presence_penalty,
    frequency_penalty,
    repetition_penalty,
    seed,
    logit_bias,
});
record!(TokenLogprob { token, bytes, logprob, top });
record!(TopLogprob { token, bytes, logprob });

choice!(Role { 0 => System {}, 1 => User {}, 2 => Assistant {}, 3 => Tool {} });
choice!(Part {
    0 => Text { 0: text },
    1 => Image { 0: image },
    2 => ToolCall { id: id, name: name, arguments: arguments },
    3 => ToolResult { id: id, parts: parts, is_error: is_error },
    4 => Reasoning { text: text, signature: signature },
    5 => Refusal { 0: text },
});
choice!(Image {
    0 => Url { url: url, detail: detail },
    1 => Inline { media_type: media_type, data: data, detail: detail },
});
choice!(ToolChoice { 0 => Auto {}, 1 => None {}, 2 => Required {}, 3 => Named { 0: name } });
choice!(Format {
    0 => Text {},
    1 => JsonObject {},
    2 => JsonSchema { name: name, schema: schema, strict: strict },
    3 => Regex { 0: expression },
    4 => Grammar { 0: lark },
});
choice!(Reasoning { 0 => Effort { 0: word }, 1 => Budget { 0: tokens }, 2 => Off {} });
choice!(Tier {
    0 => Standard {},
    1 => Auto {},
    2 => Flex {},
    3 => Priority {},
    4 => Batch {},
    5 => Other { 0: word },
});
choice!(Finish {
    0 => Stop {},
    1 => Length {},
    2 => ToolCalls {},
    3 => Filtered {},
    4 => Other { 0: word },
});
choice!(Event {
    0 => Start { id: id, model: model, created: created },
    1 => Text { choice: choice, text: text },
    2 => Reasoning { choice: choice, text: text },
    3 => Signature { choice: choice, signature: signature },
    4 => Refusal { choice: choice, text: text },
    5 => ToolStart { choice: choice, index: index, id: id, name: name },
    6 => ToolArguments { choice: choice, index: index, fragment: fragment },
    7 => Logprobs { choice: choice, tokens: tokens },
    8 => Finish { choice: choice, reason: reason, stop: stop },
    9 => Usage { 0: usage },
    10 => Tier { 0: tier },
    11 => Failed { kind: kind, message: message, retriable: retriable },
});
choice!(UsageSource { 0 => Reported {}, 1 => Estimated {} });

impl Wire for Usage {
    fn put(&self, out: &mut Vec<u8>) {
        Axis::ALL.into_iter().for_each(|axis| self.get(axis).put(out));
        self.claimed_input.put(out);
        self.claimed_output.put(out);
        self.claimed_pico_usd.put(out);
        self.source.put(out);
    }
    fn get(r: &mut Reader<'_>) -> Result<Usage> {
        let mut usage = Usage::default();
        for axis in Axis::ALL {
            usage.set(axis, Wire::get(r)?);
        }
        usage.claimed_input = Wire::get(r)?;
        usage.claimed_output = Wire::get(r)?;
        usage.claimed_pico_usd = Wire::get(r)?;
        usage.source = Wire::get(r)?;
        Ok(usage)
    }
}

record!(Estimate { weights, kv, compute });
record!(ModelInfo {
    name,
    arch,
    n_params,
    size_bytes,
    n_ctx,
    kv_cells,
    n_ctx_train,
    n_vocab,
    n_embd,
    has_template,
    can_embed,
    can_rank,
    can_generate,
    fingerprint,
    memory,
});
record!(Stats {
    queued,
    running,
    kv_used,
    kv_kept,
    kv_total,
    kv_memory_bytes,
    prompt_tokens,
    reused_tokens,
    reused_from_memory,
    reused_from_disk,
    generated_tokens,
    guessed,
    guessed_right,
    withheld,
    step_time,
    steps,
    last_step_us,
    busy_us,
    preempted,
});
record!(StepTime { base_us, row_us, context_us, tiled_us, steps, error });
record!(Standing { jobs, waiting, served });
choice!(Health { 0 => Ready {}, 1 => Stalled { for_us: for_us }, 2 => Dead {} });
choice!(Error {
    0 => TooLong { prompt: prompt, context: context },
    1 => QueueFull { queued: queued, max: max },
    2 => Failed { 0: why },
    3 => Unsupported { 0: what },
    4 => Schema { 0: why },
    5 => Contradiction { 0: why },
    6 => Template { 0: why },
    7 => Model { path: path, source: source },
    8 => Memory { need: need, have: have },
    9 => Crashed { 0: why },
    10 => Late {},
});

/// Without what it must not say: that crosses once, and is named (`Down::Ban`).
impl Wire for Caller {
    fn put(&self, out: &mut Vec<u8>) {
        let Caller { tenant, weight, scope, deadline, adapter, pinned_messages, banned: _ } = self;
        tenant.put(out);
        weight.put(out);
        scope.put(out);
        deadline.put(out);
        adapter.put(out);
        pinned_messages.put(out);
    }
    fn get(r: &mut Reader<'_>) -> Result<Caller> {
        Ok(Caller {
            tenant: Wire::get(r)?,
            weight: Wire::get(r)?,
            scope: Wire::get(r)?,
            deadline: Wire::get(r)?,
            adapter: Wire::get(r)?,
            pinned_messages: Wire::get(r)?,
            banned: None,
        })
    }
}

impl Wire for Arc<BannedTexts> {
    fn put(&self, out: &mut Vec<u8>) {
        self.texts().len().put(out);
        self.texts().iter().for_each(|text| Blob(text.clone()).put(out));
    }
    fn get(r: &mut Reader<'_>) -> Result<Arc<BannedTexts>> {
        let texts: Vec<Blob> = Wire::get(r)?;
        let texts = texts.into_iter().map(|Blob(text)| text).collect();
        BannedTexts::new(texts).ok_or_else(|| Damaged("a ban of nothing".into()))
    }
}

/// As its text: what refused a file is told to people, not decided upon.
impl Wire for gguf::Error {
    fn put(&self, out: &mut Vec<u8>) {
        self.to_string().put(out);
    }
    fn get(r: &mut Reader<'_>) -> Result<gguf::Error> {
        String::get(r).map(gguf::Error::Told)
    }
}

/// Types of one number.
macro_rules! number {
    ($($type:ident),*) => {$(
        impl Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }
            fn get(r: &mut Reader<'_>) -> Result<$type> {
                Wire::get(r).map($type)
            }
        }
    )*};
}
number!(BlockKey, Micros, Tenant);

impl Wire for std::path::PathBuf {
    fn put(&self, out: &mut Vec<u8>) {
        use std::os::unix::ffi::OsStrExt;
        Blob(self.as_os_str().as_bytes().to_vec()).put(out);
    }
    fn get(r: &mut Reader<'_>) -> Result<std::path::PathBuf> {
        use std::os::unix::ffi::OsStringExt;
        let Blob(bytes) = Wire::get(r)?;
        if bytes.contains(&0) {
            return Err(Damaged("a path with a zero byte".into()));
        }
        Ok(std::ffi::OsString::from_vec(bytes).into())
    }
}
