//! Compiles the few lines of C++ that stand between llama.cpp's exceptions and Rust.

fn main() {
    println!("cargo:rerun-if-changed=src/llama/guard.cpp");
    #[expect(clippy::disallowed_methods, reason = "cargo tells a build script by the environment")]
    let root = std::env::var("DEP_LLAMA_ROOT").expect("llama-cpp-sys-2 says where it installed its headers");
    let mut build = cc::Build::new();
    build.include(format!("{root}/include"));
    build.cpp(true).std("c++17").file("src/llama/guard.cpp").compile("bedplate_guard");
}
