//! The port: what computes rows and keeps their keys and values.

/// A sequence's slot in the kernel: 0 to `Caps::seq_max` - 1.
pub type SeqId = u32;
/// A token of the model's vocabulary.
pub type Token = u32;

/// One token to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub token: Token,
    /// Its place in the sequence, from 0. Rows of a sequence follow on from what it holds.
    pub pos: u32,
    pub seq: SeqId,
    /// Whether [`Kernel::logits`] will be asked for.
    pub logits: bool,
}

/// What a kernel can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Sequences it keeps at once.
    pub seq_max: u32,
    /// Tokens whose keys and values it keeps, over all sequences.
    pub cells: u32,
    /// Longest single sequence, in tokens.
    pub seq_len_max: u32,
    /// Most rows in one step.
    pub step_rows_max: u32,
    /// Most rows of a step that ask for logits.
    pub outputs_max: u32,
    /// Rows of prompts from which attention is computed in tiles of rows, which costs
    /// a row of a long context less than half; 0: never.
    pub tile_rows: u32,
    /// Whether [`Kernel::share`], [`Kernel::save`] and a partial
    /// [`Kernel::truncate`] work; recurrent models have no parts.
    pub parts: bool,
}

/// Why a step did not complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Nothing was computed: there are no cells for these rows.
    #[error("no cells are free for the step")]
    NoRoom,
    /// The caller cancelled. Some rows may be in; ask [`Kernel::len`].
    #[error("the step was cancelled")]
    Aborted,
    #[error("{0}")]
    Fatal(String),
}

/// llama.cpp, or a simulation. All calls come from one thread.
pub trait Kernel {
    fn caps(&self) -> Caps;

    /// Computes the rows. `cancelled` may be asked at any time, from any
    /// thread; once it answers true the step should end as soon as it can.
    fn step(&mut self, rows: &[Row], cancelled: &(dyn Fn() -> bool + Sync)) -> Result<(), StepError>;

    /// The logits of the `row`-th row of the last step, which asked for them. One per token.
    fn logits(&self, row: usize) -> &[f32];

    /// Makes `to`, which is empty, begin with the first `len` tokens of `from`, without copying.
    fn share(&mut self, from: SeqId, to: SeqId, len: u32);

    /// Forgets the tokens of a sequence from position `from` on. False when this
    /// kind of model cannot forget a part, and nothing was done.
    fn truncate(&mut self, seq: SeqId, from: u32) -> bool;

    /// Forgets a sequence.
    fn clear(&mut self, seq: SeqId);

    /// How many tokens of a sequence are held.
    fn len(&self, seq: SeqId) -> u32;

    /// The keys and values of positions `from` to `to` of a sequence, to be put
    /// back by this kernel or one like it. `None`: they cannot be had.
    fn save(&mut self, seq: SeqId, from: u32, to: u32) -> Option<Vec<u8>>;

    /// Appends saved positions to a sequence that holds exactly those before.
    /// False: it was refused, and the sequence holds what it held.
    fn restore(&mut self, seq: SeqId, from: u32, saved: &[u8]) -> bool;

    /// Makes the following steps use these adapters; 0 for none.
    fn adapt(&mut self, _adapter: u32) -> Result<(), String> {
        Ok(())
    }
}
