//! The metrics of a Bedplate process, resolved by name once at start.
//!
//! Names: the GenAI semantic conventions in Prometheus spelling (`gen_ai_*`),
//! our own (`bedplate_*`), and for the embedded engine the names of vLLM,
//! which public dashboards and autoscalers read.

use crate::metrics::{
    Counter, Family, Gauge, Histogram, MICROS, PICO, Registry, SECONDS, SHORT_SECONDS, TOKENS,
};

/// What the gateway updates. Label values come from configuration and fixed
/// lists, never from the client's text.
#[derive(Clone)]
pub struct Metrics {
    pub registry: Registry,
    /// By operation (`chat`, `embeddings`, ...), model and error code (empty: none), in microseconds.
    pub request_duration: Family<Histogram>,
    /// By model, in microseconds.
    pub time_to_first_token: Family<Histogram>,
    /// By model, in microseconds.
    pub time_per_output_token: Family<Histogram>,
    /// Attempts at targets, by provider, model and error code, in microseconds.
    pub client_duration: Family<Histogram>,
    /// By provider, model and token type (`input`, `output`).
    pub token_usage: Family<Histogram>,
    /// By operation and status.
    pub requests: Family<Counter>,
    /// By error code.
    pub refusals: Family<Counter>,
    /// By provider, model and outcome.
    pub attempts: Family<Counter>,
    /// By model and axis (`input`, `cached_input`, `output`, `reasoning`, ...).
    pub tokens: Family<Counter>,
    /// By team and model, in pico-dollars.
    pub cost: Family<Counter>,
    pub requests_in_flight: Gauge,
    /// Requests whose client left, by phase.
    pub abandoned: Family<Counter>,
    /// Steps of the journey, by step, in microseconds.
    pub step_duration: Family<Histogram>,
    /// Group commits of the store, in microseconds.
    pub commit_duration: Histogram,
}

impl Metrics {
    pub fn new(registry: Registry) -> Metrics {
        let r = &registry;
        let log = crate::log::dropped;
        r.read(
            "bedplate_log_lines_dropped_total",
            "Log lines dropped because the queue was full.",
            move || log() as f64,
        );
        Metrics {
            request_duration: r.histograms(
                "gen_ai_server_request_duration_seconds",
                "Time from a request's head to the end of its response.",
                MICROS,
                SECONDS,
                &["gen_ai_operation_name", "gen_ai_request_model", "error_type"],
            ),
            time_to_first_token: r.histograms(
                "gen_ai_server_time_to_first_token_seconds",
                "Time from a request's head to its first generated token.",
                MICROS,
                SECONDS,
                &["gen_ai_request_model"],
            ),
            time_per_output_token: r.histograms(
                "gen_ai_server_time_per_output_token_seconds",
                "Mean time per token after the first.",
                MICROS,
                SHORT_SECONDS,
                &["gen_ai_request_model"],
            ),
            client_duration: r.histograms(
                "gen_ai_client_operation_duration_seconds",
                "Duration of an attempt at a target.",
                MICROS,
                SECONDS,
                &["gen_ai_provider_name", "gen_ai_request_model", "error_type"],
            ),
            token_usage: r.histograms(
                "gen_ai_client_token_usage",
                "Tokens of an attempt.",
                1,
                TOKENS,
                &["gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"],
            ),
            requests: r.counters(
                "bedplate_requests_total",
                "Requests answered.",
                1,
                &["operation", "status"],
            ),
            refusals: r.counters("bedplate_refusals_total", "Requests refused, by error code.", 1, &["code"]),
            attempts: r.counters(
                "bedplate_attempts_total",
                "Attempts at targets.",
                1,
                &["provider", "model", "outcome"],
            ),
            tokens: r.counters("bedplate_tokens_total", "Tokens by disjoint axis.", 1, &["model", "axis"]),
            cost: r.counters("bedplate_cost_usd_total", "Money settled, in USD.", PICO, &["team", "model"]),
            requests_in_flight: r.gauge("bedplate_requests_in_flight", "Requests being answered."),
            abandoned: r.counters(
                "bedplate_abandoned_total",
                "Requests whose client left before the end.",
                1,
                &["phase"],
            ),
            step_duration: r.histograms(
                "bedplate_step_duration_seconds",
                "Time in each step of a request's journey.",
                MICROS,
                SHORT_SECONDS,
                &["step"],
            ),
            commit_duration: r
                .histograms(
                    "bedplate_store_commit_duration_seconds",
                    "Time of a group commit, disk sync included.",
                    MICROS,
                    SHORT_SECONDS,
                    &[],
                )
                .with(&[]),
            registry,
        }
    }
}

/// The embedded engine, under vLLM's names; every family's label is `model_name`.
#[derive(Clone)]
pub struct EngineMetrics {
    pub requests_running: Family<Gauge>,
    pub requests_waiting: Family<Gauge>,
    /// Requests by model and team: those that wait, and those that are computed.
    pub tenant_requests_waiting: Family<Gauge>,
    pub tenant_requests_running: Family<Gauge>,
    /// In millionths: shown as a fraction of 1.
    pub kv_cache_usage: Family<Gauge>,
    pub prompt_tokens: Family<Counter>,
    pub generation_tokens: Family<Counter>,
    pub prefix_cache_queries: Family<Counter>,
    pub prefix_cache_hits: Family<Counter>,
    /// Prompt tokens that were not computed, by model and where they were: cells, memory or disk.
    pub reused_tokens: Family<Counter>,
    pub preemptions: Family<Counter>,
    /// Tokens computed ahead, by model and whether the guess was right.
    pub guessed_tokens: Family<Counter>,
    /// Times that the likeliest token was withheld, by model: it would have completed a
    /// known secret or a canary.
    pub withheld_tokens: Family<Counter>,
    /// Cells of the KV cache, by model and state: used, kept or free.
    pub kv_cells: Family<Gauge>,
    /// Keys and values in memory beside the cells.
    pub kv_memory_bytes: Family<Gauge>,
    /// What a step costs, in microseconds, by model and part: the step, each row,
    /// each thousand tokens attended to.
    pub step_cost: Family<Gauge>,
    /// By counter (`package-0`, `gpu-0`): all of the machine, in microjoules.
    pub energy: Family<Counter>,
    /// By model: its share of that by the time it computed, in microjoules.
    pub engine_energy: Family<Counter>,
    /// By model and finish reason.
    pub request_success: Family<Counter>,
    pub time_to_first_token: Family<Histogram>,
    pub inter_token_latency: Family<Histogram>,
    pub e2e_request_latency: Family<Histogram>,
    pub request_queue_time: Family<Histogram>,
    pub request_prefill_time: Family<Histogram>,
    pub request_decode_time: Family<Histogram>,
}

impl EngineMetrics {
    pub fn new(r: &Registry) -> EngineMetrics {
        const MODEL: &[&str] = &["model_name"];
        let seconds = |name, help, bounds| r.histograms(name, help, MICROS, bounds, MODEL);
        EngineMetrics {
            requests_running: r.gauges("vllm:num_requests_running", "Sequences in the batch.", 1, MODEL),
            requests_waiting: r.gauges("vllm:num_requests_waiting", "Sequences in the queue.", 1, MODEL),
            tenant_requests_waiting: r.gauges(
                "bedplate_engine_tenant_requests_waiting",
                "Requests in the queue, by team.",
                1,
                &["model_name", "team"],
            ),
            tenant_requests_running: r.gauges(
                "bedplate_engine_tenant_requests_running",
                "Requests in the batch, by team.",
                1,
                &["model_name", "team"],
            ),
            kv_cache_usage: r.gauges("vllm:kv_cache_usage_perc", "KV cache in use, of 1.", MICROS, MODEL),
            prompt_tokens: r.counters("vllm:prompt_tokens_total", "Prompt tokens processed.", 1, MODEL),
            generation_tokens: r.counters("vllm:generation_tokens_total", "Tokens generated.", 1, MODEL),
            prefix_cache_queries: r.counters(
                "vllm:prefix_cache_queries_total",
                "Prompt tokens looked up in the prefix cache.",
                1,
                MODEL,
            ),
            prefix_cache_hits: r.counters(
                "vllm:prefix_cache_hits_total",
                "Prompt tokens found in the prefix cache.",
                1,
                MODEL,
            ),
            reused_tokens: r.counters(
                "bedplate_engine_reused_tokens_total",
                "Prompt tokens that were not computed again, by where they were.",
                1,
                &["model_name", "tier"],
            ),
            preemptions: r.counters(
                "vllm:num_preemptions_total",
                "Sequences that gave up their cells.",
                1,
                MODEL,
            ),
            guessed_tokens: r.counters(
                "bedplate_engine_guessed_tokens_total",
                "Tokens computed ahead, and whether the guess was right.",
                1,
                &["model_name", "right"],
            ),
            withheld_tokens: r.counters(
                "bedplate_engine_withheld_tokens_total",
                "Tokens kept from being drawn that would have completed a known secret or a canary.",
                1,
                MODEL,
            ),
            kv_cells: r.gauges(
                "bedplate_engine_kv_cells",
                "Cells of the KV cache: used by requests, kept for later prompts, free.",
                1,
                &["model_name", "state"],
            ),
            kv_memory_bytes: r.gauges(
                "bedplate_engine_kv_memory_bytes",
                "Keys and values in memory beside the cells.",
                1,
                MODEL,
            ),
            step_cost: r.gauges(
                "bedplate_engine_step_cost_microseconds",
                "Learned cost of a step: of any step, of each row, of each thousand tokens attended to, a row at a time or in tiles.",
                1,
                &["model_name", "part"],
            ),
            energy: r.counters(
                "bedplate_energy_joules_total",
                "Energy of the machine, where it has a counter, since the server's start.",
                MICROS,
                &["counter"],
            ),
            engine_energy: r.counters(
                "bedplate_engine_energy_joules_total",
                "Measured energy of the machine while the model computed.",
                MICROS,
                MODEL,
            ),
            request_success: r.counters(
                "vllm:request_success_total",
                "Requests finished.",
                1,
                &["model_name", "finished_reason"],
            ),
            time_to_first_token: seconds("vllm:time_to_first_token_seconds", "Time to first token.", SECONDS),
            inter_token_latency: seconds(
                "vllm:inter_token_latency_seconds",
                "Time between tokens.",
                SHORT_SECONDS,
            ),
            e2e_request_latency: seconds("vllm:e2e_request_latency_seconds", "Whole request.", SECONDS),
            request_queue_time: seconds("vllm:request_queue_time_seconds", "Time in the queue.", SECONDS),
            request_prefill_time: seconds("vllm:request_prefill_time_seconds", "Time in prefill.", SECONDS),
            request_decode_time: seconds("vllm:request_decode_time_seconds", "Time in decode.", SECONDS),
        }
    }
}
