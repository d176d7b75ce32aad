//! What an attempt consumed, in disjoint axes.
//!
//! Providers report overlapping totals (cached inside input, reasoning inside
//! output). Dialects subtract the overlap at the door, so that the axes add up
//! and nothing is priced twice (TRAPS M1).

/// A kind of token with its own price. Disjoint: one token is in one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axis {
    /// Prompt tokens computed afresh.
    Input,
    /// Prompt tokens read from a cache.
    CacheRead,
    /// Prompt tokens written to a cache (five minutes, or the only lifetime there is).
    CacheWrite,
    /// Prompt tokens written to a one-hour cache.
    CacheWrite1h,
    InputAudio,
    /// Answer tokens, without reasoning.
    Output,
    Reasoning,
    OutputAudio,
}

impl Axis {
    pub const ALL: [Axis; 8] = [
        Axis::Input,
        Axis::CacheRead,
        Axis::CacheWrite,
        Axis::CacheWrite1h,
        Axis::InputAudio,
        Axis::Output,
        Axis::Reasoning,
        Axis::OutputAudio,
    ];

    /// The stable name, in prices, ledger lines and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Axis::Input => "input",
            Axis::CacheRead => "cache_read",
            Axis::CacheWrite => "cache_write",
            Axis::CacheWrite1h => "cache_write_1h",
            Axis::InputAudio => "input_audio",
            Axis::Output => "output",
            Axis::Reasoning => "reasoning",
            Axis::OutputAudio => "output_audio",
        }
    }
    pub const fn is_input(self) -> bool {
        !matches!(self, Axis::Output | Axis::Reasoning | Axis::OutputAudio)
    }
}

/// Where the numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum UsageSource {
    /// The target reported them.
    #[default]
    Reported,
    /// The target reported none, and Bedplate estimated them (TRAPS M3).
    Estimated,
}

/// Tokens by axis, and the totals the target itself claimed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    tokens: [u64; Axis::ALL.len()],
    /// The target's own total of prompt tokens, when it gave one.
    pub claimed_input: Option<u64>,
    /// The target's own total of answer tokens, when it gave one.
    pub claimed_output: Option<u64>,
    /// The target's own price for the call in pico-dollars, when it gave one above zero.
    pub claimed_pico_usd: Option<i64>,
    pub source: UsageSource,
}

impl Usage {
    pub fn get(&self, axis: Axis) -> u64 {
        self.tokens[axis as usize]
    }
    pub fn set(&mut self, axis: Axis, tokens: u64) {
        self.tokens[axis as usize] = tokens;
    }
    pub fn with(mut self, axis: Axis, tokens: u64) -> Usage {
        self.set(axis, tokens);
        self
    }
    /// Every axis that is not zero, in the order of [`Axis::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Axis, u64)> + '_ {
        Axis::ALL.into_iter().map(|a| (a, self.get(a))).filter(|(_, t)| *t > 0)
    }
    pub fn input_total(&self) -> u64 {
        self.side_total(true)
    }
    pub fn output_total(&self) -> u64 {
        self.side_total(false)
    }
    /// Whether the axes add up to what the target claimed.
    pub fn reconciles(&self) -> bool {
        self.claimed_input.is_none_or(|t| t == self.input_total())
            && self.claimed_output.is_none_or(|t| t == self.output_total())
    }
    fn side_total(&self, input: bool) -> u64 {
        Axis::ALL
            .into_iter()
            .filter(|a| a.is_input() == input)
            .fold(0u64, |sum, a| sum.saturating_add(self.get(a)))
    }
}
