//! From a path to a model that may be loaded.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use gguf::{Estimate, Header, Room};
use ring::digest;
use scheduler::Limits;

use crate::{Error, Options};

/// Most tokens computed in one step, as in llama.cpp's own tools.
pub(crate) const STEP_ROWS: u32 = 512;
/// KV cells when the caller does not say: enough for a few chats of a small
/// model, and 256 MB for an 8 B one.
const CELLS_DEFAULT: u64 = 8192;
/// Sequences of a context that can share: those that run, and what is kept for
/// later prompts. each costs the room of one row of logits, and one more is used for copying.
pub(crate) const SEQUENCES: u32 = 127;
/// Rows that may be guessed in one step.
pub(crate) const GUESSES: u32 = 24;
/// Weights up to this size are hashed whole; larger ones by samples.
const HASH_WHOLE_MAX: u64 = 16 << 20;

/// What is decided before loading.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub cells: u32,
    pub seq_len_max: u32,
    pub memory: Estimate,
}

/// Reads and checks the header of a model file (TRAPS X7).
pub(crate) fn read_header(path: &Path) -> Result<Header, Error> {
    let bad = |source: gguf::Error| Error::Model { path: path.display().to_string(), source };
    let io = |e: std::io::Error| bad(gguf::Error::Io(e.to_string()));
    let file = File::open(path).map_err(io)?;
    let about = file.metadata().map_err(io)?;
    if !about.is_file() {
        return Err(bad(gguf::Error::Io("it is not a regular file".into())));
    }
    let header = Header::read(BufReader::with_capacity(1 << 16, file), about.len()).map_err(bad)?;
    gguf::check_model(&header).map_err(bad)?;
    if header.get("split.count").and_then(gguf::Value::as_u64).is_some_and(|n| n > 1) {
        return Err(Error::Unsupported(
            "models split over several files are not supported; merge them".into(),
        ));
    }
    Ok(header)
}

/// Sizes the context, and refuses what would not fit the memory allowed.
pub(crate) fn plan(header: &Header, options: &Options) -> Result<Plan, Error> {
    let trained = header.context_length();
    let wished = options
        .n_ctx
        .map_or_else(|| trained.saturating_mul(u64::from(options.n_seq_max)).min(CELLS_DEFAULT), u64::from);
    let cells = wished.clamp(64, 16 << 20);
    let room = Room {
        cells,
        step_rows: u64::from(STEP_ROWS),
        outputs: u64::from(options.n_seq_max),
        kv_element_bytes: 2,
    };
    let memory = gguf::estimate(header, room).map_err(|e| Error::Failed(e.to_string()))?;
    match options.memory_max_bytes {
        Some(have) if memory.total() > have => Err(Error::Memory { need: memory.total(), have }),
        _ => Ok(Plan { cells: cells as u32, seq_len_max: trained.min(cells) as u32, memory }),
    }
}

/// Whether the model gives vectors, and whether it scores pairs: by how it pools.
pub(crate) fn encodes(header: &Header) -> (bool, bool) {
    match header.pooling() {
        Some(1..=3) => (true, false),
        Some(4) => (false, true),
        _ => (false, false),
    }
}

/// Bytes of weights that are read in the time in which one head of one layer walks
/// past a cell that its row does not see: 1.3 ns of a core, against 20 GB/s.
const BYTES_A_CELL: u64 = 27;

/// For [`Limits::crowd`]: the cells that a step may walk in vain for
/// what reading the weights costs. 18,000 for 300 M parameters at 4 bits, 160,000
/// for 8 B: the larger the model, the more pay for one pass over it. The smallest
/// models pay for starting a step, whatever they read.
pub(crate) fn crowd(header: &Header) -> u64 {
    let number = |key| header.number(key).filter(|n| *n > 0).unwrap_or(1);
    let heads = number("block_count").saturating_mul(number("attention.head_count"));
    let pays = header.weight_bytes() / heads.saturating_mul(BYTES_A_CELL).max(1);
    pays.max(Limits::default().crowd)
}

/// SHA-256 over the header, the length of the file and its weights: all of a
/// small model's, 256 places of a large one's, so that it costs milliseconds.
pub(crate) fn fingerprint(path: &Path, header: &Header) -> Result<String, Error> {
    let io = |e: std::io::Error| Error::Failed(format!("{} could not be read: {e}", path.display()));
    let mut file = File::open(path).map_err(io)?;
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(&header.file_len.to_le_bytes());
    let mut buffer = vec![0u8; 1 << 16];
    let mut take = |file: &mut File, from: u64, mut len: u64| -> std::io::Result<()> {
        file.seek(SeekFrom::Start(from))?;
        while len > 0 {
            let want = len.min(buffer.len() as u64) as usize;
            let got = file.read(&mut buffer[..want])?;
            if got == 0 {
                return Ok(());
            }
            hash.update(&buffer[..got]);
            len -= got as u64;
        }
        Ok(())
    };
    let data = header.file_len - header.data_start;
    take(&mut file, 0, header.data_start).map_err(io)?;
    if data <= HASH_WHOLE_MAX {
        take(&mut file, header.data_start, data).map_err(io)?;
    } else {
        for i in 0..256 {
            take(&mut file, header.data_start + data / 256 * i, 4096).map_err(io)?;
        }
    }
    Ok(hash.finish().as_ref().iter().map(|b| format!("{b:02x}")).collect())
}

/// What computes keys and values. To be changed with the pin in `Cargo.toml`:
/// saved ones of another version are not looked at.
const ENGINE_BUILD: &str = "llama-cpp-sys-2 0.1.161";

/// The name under which keys and values of a model are kept: reads its file's
/// header and samples of its weights. Blocks for milliseconds.
///
/// # Errors
/// When the file cannot be read or is no model.
pub fn kv_fingerprint_of(path: &Path, options: &Options) -> Result<String, Error> {
    Ok(kv_fingerprint(&fingerprint(path, &read_header(path)?)?, options))
}

/// Everything that saved keys and values depend on beside the tokens.
pub(crate) fn kv_fingerprint(model: &str, options: &Options) -> String {
    format!("{ENGINE_BUILD}; model {model}; f16; flash {:?}", options.flash)
}
