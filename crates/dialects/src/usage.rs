//! Usage objects, made disjoint, and written again.
//!
//! OpenAI's totals include what they detail: cached, cache-written and audio
//! tokens inside `prompt_tokens`, reasoning and audio inside
//! `completion_tokens`. Anthropic's `input_tokens` is the uncached part only.
//! Both become disjoint axes here (TRAPS M1, M2); where a provider contradicts
//! itself the axes keep its details, the claimed totals keep its totals, and
//! `Usage::reconciles` says that they differ.

use chat::{Axis, Tier, Usage};

use crate::fields::Lenient;
use crate::json::Writer;

/// Pico-dollars in a dollar, and in one of xAI's ticks (1e-10 USD).
const PICO: f64 = 1e12;
const TICK_PICO: f64 = 100.0;

/// An OpenAI usage object, of chat, completions, embeddings or responses.
pub(crate) fn from_openai(u: &Lenient<'_>) -> Option<Usage> {
    let input = u.u64("prompt_tokens").or_else(|| u.u64("input_tokens"));
    let output = u.u64("completion_tokens").or_else(|| u.u64("output_tokens"));
    if input.is_none() && output.is_none() {
        return None;
    }
    let prompt = either(u, "prompt_tokens_details", "input_tokens_details");
    let completion = either(u, "completion_tokens_details", "output_tokens_details");
    let input = input.unwrap_or(0);
    let output = output.unwrap_or(0);

    // DeepSeek names its hits at the top.
    let cached = prompt.u64("cached_tokens").or_else(|| u.u64("prompt_cache_hit_tokens")).unwrap_or(0);
    let written = prompt.u64("cache_write_tokens").unwrap_or(0);
    let input_audio = prompt.u64("audio_tokens").unwrap_or(0);
    let reasoning = completion.u64("reasoning_tokens").or_else(|| u.u64("reasoning_tokens")).unwrap_or(0);
    let output_audio = completion.u64("audio_tokens").unwrap_or(0);

    // xAI and Gemini leave reasoning out of `completion_tokens`; their total tells.
    let total = u.u64("total_tokens").unwrap_or(0);
    let outside = reasoning > 0 && total == input.saturating_add(output).saturating_add(reasoning);
    let output_all = if outside { output.saturating_add(reasoning) } else { output };

    let mut usage = Usage::default()
        .with(Axis::Input, input.saturating_sub(cached).saturating_sub(written).saturating_sub(input_audio))
        .with(Axis::CacheRead, cached)
        .with(Axis::CacheWrite, written)
        .with(Axis::InputAudio, input_audio)
        .with(Axis::Output, output_all.saturating_sub(reasoning).saturating_sub(output_audio))
        .with(Axis::Reasoning, reasoning)
        .with(Axis::OutputAudio, output_audio);
    usage.claimed_input = Some(input);
    usage.claimed_output = Some(output_all);
    usage.claimed_pico_usd = cost(u);
    Some(usage)
}

/// Of a rerank answer without OpenAI's fields: Jina tells a total, Cohere tokens inside its `meta`.
pub(crate) fn of_rerank(top: &Lenient<'_>) -> Option<Usage> {
    let total = top.object("usage").u64("total_tokens");
    let tokens = total.or_else(|| top.object("meta").object("tokens").u64("input_tokens"))?;
    let mut usage = Usage::default().with(Axis::Input, tokens);
    usage.claimed_input = Some(tokens);
    Some(usage)
}

fn either<'a>(u: &Lenient<'a>, one: &str, other: &str) -> Lenient<'a> {
    let first = u.object(one);
    if first.is_empty() { u.object(other) } else { first }
}

/// A provider's own price; zero means "not told" (TRAPS M3).
fn cost(u: &Lenient<'_>) -> Option<i64> {
    let pico = match (u.f64("cost"), u.f64("cost_in_usd_ticks")) {
        (Some(usd), _) => usd * PICO,
        (None, Some(ticks)) => ticks * TICK_PICO,
        (None, None) => return None,
    };
    (pico.is_finite() && (1.0..9e18).contains(&pico)).then(|| pico.round() as i64)
}

/// The counts of an Anthropic usage object so far; a stream sends it in parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AnthropicCounts {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
    output: Option<u64>,
}

impl AnthropicCounts {
    /// Later numbers are cumulative: they replace, and what is left out stays.
    pub(crate) fn merge(&mut self, u: &Lenient<'_>) {
        let take = |old: &mut Option<u64>, new: Option<u64>| *old = new.or(*old);
        take(&mut self.input, u.u64("input_tokens"));
        take(&mut self.cache_read, u.u64("cache_read_input_tokens"));
        take(&mut self.output, u.u64("output_tokens"));
        let split = u.object("cache_creation");
        let hour = split.u64("ephemeral_1h_input_tokens");
        let five = split.u64("ephemeral_5m_input_tokens");
        take(&mut self.cache_write_1h, hour);
        let all = u.u64("cache_creation_input_tokens");
        take(&mut self.cache_write, five.or(all.map(|a| a.saturating_sub(hour.unwrap_or(0)))));
    }
    pub(crate) fn usage(&self) -> Option<Usage> {
        if self.input.is_none() && self.output.is_none() {
            return None;
        }
        let mut usage = Usage::default()
            .with(Axis::Input, self.input.unwrap_or(0))
            .with(Axis::CacheRead, self.cache_read.unwrap_or(0))
            .with(Axis::CacheWrite, self.cache_write.unwrap_or(0))
            .with(Axis::CacheWrite1h, self.cache_write_1h.unwrap_or(0))
            .with(Axis::Output, self.output.unwrap_or(0));
        usage.claimed_output = self.output;
        Some(usage)
    }
}

pub(crate) fn from_anthropic(u: &Lenient<'_>) -> Option<Usage> {
    let mut counts = AnthropicCounts::default();
    counts.merge(u);
    counts.usage()
}

/// A served tier's word, of either family.
pub(crate) fn tier(word: &str) -> Tier {
    match word {
        "" | "default" | "standard" | "standard_only" | "on_demand" => Tier::Standard,
        "auto" => Tier::Auto,
        "flex" => Tier::Flex,
        "priority" => Tier::Priority,
        "batch" => Tier::Batch,
        other => Tier::Other(other.to_string()),
    }
}

/// A tier in OpenAI's words.
pub(crate) fn openai_tier(tier: &Tier) -> &str {
    match tier {
        Tier::Standard => "default",
        Tier::Auto => "auto",
        Tier::Flex => "flex",
        Tier::Priority => "priority",
        Tier::Batch => "batch",
        Tier::Other(word) => word,
    }
}

pub(crate) fn write_openai(w: &mut Writer<'_>, usage: &Usage) {
    let (input, output) = (usage.input_total(), usage.output_total());
    w.object(|w| {
        w.field_num("prompt_tokens", input);
        w.field_num("completion_tokens", output);
        w.field_num("total_tokens", input.saturating_add(output));
        let written = usage.get(Axis::CacheWrite).saturating_add(usage.get(Axis::CacheWrite1h));
        w.field_object("prompt_tokens_details", |w| {
            w.field_num("cached_tokens", usage.get(Axis::CacheRead));
            w.field_num("audio_tokens", usage.get(Axis::InputAudio));
            if written > 0 {
                w.field_num("cache_write_tokens", written);
            }
        });
        w.field_object("completion_tokens_details", |w| {
            w.field_num("reasoning_tokens", usage.get(Axis::Reasoning));
            w.field_num("audio_tokens", usage.get(Axis::OutputAudio));
        });
    });
}

/// Anthropic has no place for audio: it counts as input and output.
pub(crate) fn write_anthropic(w: &mut Writer<'_>, usage: &Usage, tier: Option<&Tier>) {
    w.object(|w| {
        w.field_num("input_tokens", usage.get(Axis::Input).saturating_add(usage.get(Axis::InputAudio)));
        let (five, hour) = (usage.get(Axis::CacheWrite), usage.get(Axis::CacheWrite1h));
        w.field_num("cache_creation_input_tokens", five.saturating_add(hour));
        w.field_num("cache_read_input_tokens", usage.get(Axis::CacheRead));
        if hour > 0 {
            w.field_object("cache_creation", |w| {
                w.field_num("ephemeral_5m_input_tokens", five);
                w.field_num("ephemeral_1h_input_tokens", hour);
            });
        }
        w.field_num("output_tokens", usage.output_total());
        if let Some(tier) = tier {
            let word = match tier {
                Tier::Priority => "priority",
                Tier::Batch => "batch",
                _ => "standard",
            };
            w.field_str("service_tier", word);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn openai(json: &str) -> Usage {
        from_openai(&Lenient::body(json.as_bytes()).expect("json")).expect("usage")
    }

    fn axes(usage: &Usage) -> Vec<(&'static str, u64)> {
        usage.iter().map(|(axis, tokens)| (axis.name(), tokens)).collect()
    }

    #[test]
    fn trap_m1_details_are_taken_out_of_the_totals_they_are_part_of() {
        let usage = openai(
            r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,
                "prompt_tokens_details":{"cached_tokens":60,"audio_tokens":5},
                "completion_tokens_details":{"reasoning_tokens":30,"audio_tokens":2}}"#,
        );
        let want = [
            ("input", 35),
            ("cache_read", 60),
            ("input_audio", 5),
            ("output", 18),
            ("reasoning", 30),
            ("output_audio", 2),
        ];
        assert_eq!(axes(&usage), want);
        assert!(usage.reconciles());
    }

    #[test]
    fn trap_m2_cache_writes_have_their_own_axis() {
        let usage = openai(
            r#"{"prompt_tokens":100,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":20,"cache_write_tokens":70}}"#,
        );
        assert_eq!(axes(&usage), [("input", 10), ("cache_read", 20), ("cache_write", 70), ("output", 1)]);
        assert!(usage.reconciles());
    }

    #[test]
    fn reasoning_outside_the_answer_total_is_told_by_the_sum() {
        let inside = r#"{"prompt_tokens":10,"completion_tokens":30,"total_tokens":40,"completion_tokens_details":{"reasoning_tokens":20}}"#;
        let outside = r#"{"prompt_tokens":10,"completion_tokens":30,"total_tokens":60,"completion_tokens_details":{"reasoning_tokens":20}}"#;
        assert_eq!(axes(&openai(inside))[1..], [("output", 10), ("reasoning", 20)]);
        assert_eq!(axes(&openai(outside))[1..], [("output", 30), ("reasoning", 20)]);
        assert!(openai(inside).reconciles() && openai(outside).reconciles());
    }

    #[test]
    fn a_provider_that_contradicts_itself_is_noticed() {
        let more_cached =
            r#"{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":90}}"#;
        assert!(!openai(more_cached).reconciles());
        let huge = r#"{"prompt_tokens":18446744073709551615,"completion_tokens":-1}"#;
        assert!(from_openai(&Lenient::body(huge.as_bytes()).expect("json")).is_none());
    }

    #[test]
    fn trap_m3_a_claimed_price_of_zero_is_no_price() {
        let cost = |json: &str| openai(&format!(r#"{{"prompt_tokens":1,{json}}}"#)).claimed_pico_usd;
        assert_eq!(cost(r#""cost":0"#), None);
        assert_eq!(cost(r#""cost":0.00014"#), Some(140_000_000));
        assert_eq!(cost(r#""cost":1.4e-06"#), Some(1_400_000));
        assert_eq!(cost(r#""cost_in_usd_ticks":37"#), Some(3_700));
        assert_eq!(cost(r#""cost":1e300"#), None);
        assert_eq!(cost(r#""cost":-1"#), None);
    }
}
