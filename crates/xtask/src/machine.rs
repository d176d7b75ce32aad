//! Which vector instructions of this machine llama.cpp is built for.
//!
//! A plain build runs on any x86-64 with AVX2. `demo` and `bench` build for the
//! machine they run on, which makes prefill about 1.4 times as fast where there
//! is AVX-512. Not by `-C target-cpu=native`: that also turns on AMX, whose
//! kernels, compiled by GCC 12, crash on quantized weights (decision 008).

/// llama.cpp's build settings as environment variables.
pub fn engine_flags() -> Vec<(&'static str, &'static str)> {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        let base =
            has!("avx512f") && has!("avx512cd") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
        let flags = [
            ("GGML_AVX512", base),
            ("GGML_AVX512_VBMI", base && has!("avx512vbmi")),
            ("GGML_AVX512_VNNI", base && has!("avx512vnni")),
            ("GGML_AVX512_BF16", base && has!("avx512bf16")),
        ];
        flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name, "ON")).collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}
