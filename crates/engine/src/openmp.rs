//! How idle compute threads wait.
//!
//! libgomp reads its settings when it is loaded, which is before `main`: only a
//! new process can change them, so `app` executes itself again with these.

/// Settings for a process that loads models, where they are not set already.
///
/// The default spins for as long as 5 ms between two parallel parts, which wins
/// 10 % on idle cores and loses orders of magnitude where other work shares
/// them; sleeping at once (`OMP_WAIT_POLICY=passive`) halves small models. A
/// short spin is near the best of both.
pub const fn openmp_env() -> &'static [(&'static str, &'static str)] {
    &[("GOMP_SPINCOUNT", "2000")]
}
