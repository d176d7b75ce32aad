//! The model the engine bench runs: seeded random weights, quantised to Q4_0.
//!
//! Speed depends on shapes and types, not on values, so a random file says as
//! much as a trained one, needs no download, and is the same bytes everywhere.
//! `gguf::random_llama` writes F16; this module packs its matrices by the
//! format's own rule and keeps the rest of the file as it is.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use gguf::{Header, Kind, Shape, Tensor, random_llama, write::padding};

/// Seed of the published figures.
const SEED: u64 = 20261123;

/// What the bench must know about its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub path: PathBuf,
    pub parameters: u64,
    pub bytes: u64,
    /// Weight bytes that one decoding step must read: all but the embedding
    /// table, of which it reads a row.
    pub step_bytes: u64,
}

/// The model in `cache`, made there first when it is absent (about 10 s).
pub fn ensure(cache: &Path, say: impl Fn(&str)) -> Result<Model> {
    fs::create_dir_all(cache).with_context(|| format!("create {}", cache.display()))?;
    let path = cache.join("random-300m-q4_0.gguf");
    if !path.exists() {
        say(&format!("writing the random model {} ...", path.display()));
        let (wide, part) = (cache.join("random-300m-f16.gguf"), cache.join("random-300m-q4_0.part"));
        let mut out = BufWriter::new(File::create(&wide)?);
        random_llama(Shape::BENCH_300M, SEED, &mut out)?;
        out.flush()?;
        quantise(&wide, &part)?;
        fs::rename(&part, &path)?;
        fs::remove_file(&wide)?;
    }
    describe(path)
}

fn describe(path: PathBuf) -> Result<Model> {
    let bytes = fs::metadata(&path)?.len();
    let header = Header::read(BufReader::new(File::open(&path)?), bytes)?;
    let table: u64 = header.tensors.iter().filter(|t| t.name == "token_embd.weight").map(|t| t.bytes).sum();
    let (parameters, step_bytes) = (header.parameters(), header.weight_bytes() - table);
    Ok(Model { path, parameters, bytes, step_bytes })
}

/// Copies a GGUF file, packing every F16 matrix to Q4_0.
fn quantise(from: &Path, to: &Path) -> Result<()> {
    let file_len = fs::metadata(from)?.len();
    let header = Header::read(BufReader::new(File::open(from)?), file_len)?;
    let mut input = BufReader::new(File::open(from)?);
    let mut start = vec![0; header.data_start as usize];
    input.read_exact(&mut start)?;
    let mut out = BufWriter::new(File::create(to)?);
    out.write_all(&head(&start, &header)?)?;
    for tensor in &header.tensors {
        input.seek(SeekFrom::Start(header.data_start + tensor.offset))?;
        let mut data = vec![0; tensor.bytes as usize];
        input.read_exact(&mut data)?;
        let packed = if packs(tensor) { pack_all(&data) } else { data };
        out.write_all(&packed)?;
        out.write_all(padding(packed.len() as u64))?;
    }
    out.flush()?;
    Ok(())
}

/// Q4_0 in `enum ggml_type`, and in `enum llama_ftype` too.
const Q4_0_ID: u32 = 2;

fn q4_0() -> Kind {
    Kind::from_id(Q4_0_ID).expect("the loader has had Q4_0 from its beginning")
}

fn packs(tensor: &Tensor) -> bool {
    tensor.kind == Kind::F16 && tensor.dims.len() == 2 && tensor.dims[0].is_multiple_of(BLOCK as u64)
}

/// The bytes before the data: metadata as it was, tensors at their new places.
fn head(start: &[u8], header: &Header) -> Result<Vec<u8>> {
    let first = header.tensors.first().context("the model has no tensor")?;
    let mut name = (first.name.len() as u64).to_le_bytes().to_vec();
    name.extend(first.name.as_bytes());
    let infos = find(start, &name).context("the tensors are not where the header says")?;
    let mut out = start[..infos].to_vec();
    set_file_type(&mut out, Q4_0_ID)?;
    let mut offset = 0u64;
    for tensor in &header.tensors {
        let kind = if packs(tensor) { q4_0() } else { tensor.kind };
        let bytes = kind.size(&tensor.dims).context("a row is not whole blocks")?;
        out.extend((tensor.name.len() as u64).to_le_bytes());
        out.extend(tensor.name.as_bytes());
        out.extend((tensor.dims.len() as u32).to_le_bytes());
        tensor.dims.iter().for_each(|dim| out.extend(dim.to_le_bytes()));
        out.extend(kind.id.to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset += bytes.next_multiple_of(32);
    }
    let len = out.len() as u64;
    out.extend(padding(len));
    Ok(out)
}

/// `general.file_type` is a u32 right after its key and its type.
fn set_file_type(meta: &mut [u8], value: u32) -> Result<()> {
    let key = b"general.file_type";
    let at = find(meta, key).context("no general.file_type")? + key.len() + 4;
    ensure!(meta.len() >= at + 4, "general.file_type is cut");
    meta[at..at + 4].copy_from_slice(&value.to_le_bytes());
    Ok(())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

const BLOCK: usize = 32;

fn pack_all(halves: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(halves.len() / 64 * 18);
    for block in halves.chunks_exact(BLOCK * 2) {
        let mut values = [0.0; BLOCK];
        for (value, bytes) in values.iter_mut().zip(block.chunks_exact(2)) {
            *value = from_half(u16::from_le_bytes([bytes[0], bytes[1]]));
        }
        out.extend(pack(&values));
    }
    out
}

/// One Q4_0 block: a half-precision step `d`, then 32 four-bit numbers `q` with
/// `value = d * (q - 8)`; low nibbles hold the first sixteen. The value of
/// largest size maps to -8. Source: the format as ggml's `ggml-quants.c` defines it.
fn pack(values: &[f32; BLOCK]) -> [u8; 18] {
    let largest = values.iter().copied().fold(0.0f32, |most, v| if v.abs() > most.abs() { v } else { most });
    let step = largest / -8.0;
    let inverse = if step == 0.0 { 0.0 } else { 1.0 / step };
    let nibble = |value: f32| (value * inverse + 8.5).clamp(0.0, 15.0) as u8;
    let mut out = [0; 18];
    out[..2].copy_from_slice(&to_half(step).to_le_bytes());
    for index in 0..BLOCK / 2 {
        out[2 + index] = nibble(values[index]) | (nibble(values[index + BLOCK / 2]) << 4);
    }
    out
}

/// Halves of this file are normal numbers or zero.
fn from_half(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (bits >> 15, (bits >> 10) & 0x1f, bits & 0x3ff);
    let size = match exponent {
        0 => f32::from(fraction) / 16_777_216.0,
        _ => f32::from_bits(((u32::from(exponent) + 112) << 23) | (u32::from(fraction) << 13)),
    };
    if sign == 1 { -size } else { size }
}

/// Rounds to nearest; a step below 2^-14 would be zero, which no block of a
/// random matrix has.
fn to_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let rounded = (bits & 0x7fff_ffff) + 0x1000;
    let exponent = (rounded >> 23) as i32 - 112;
    if !(1..31).contains(&exponent) {
        return sign;
    }
    sign | ((exponent as u16) << 10) | ((rounded >> 13) & 0x3ff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_trip() {
        for value in [1.0f32, -0.5, 0.125, 0.3125, -3.0] {
            assert_eq!(from_half(to_half(value)), value);
        }
        assert_eq!(from_half(to_half(0.0)), 0.0);
    }

    #[test]
    fn a_block_keeps_every_value_within_one_step() {
        let values: [f32; BLOCK] = std::array::from_fn(|i| ((i * 37 % 61) as f32 - 30.0) / 400.0);
        let packed = pack(&values);
        let step = from_half(u16::from_le_bytes([packed[0], packed[1]]));
        for (index, value) in values.iter().enumerate() {
            let byte = packed[2 + index % 16];
            let nibble = if index < 16 { byte & 15 } else { byte >> 4 };
            let back = step * (f32::from(nibble) - 8.0);
            assert!((back - value).abs() <= step.abs() * 1.01, "{value} became {back}");
        }
    }

    #[test]
    fn a_packed_model_passes_the_header_check() {
        let folder = tempfile::tempdir().unwrap();
        let (wide, packed) = (folder.path().join("wide"), folder.path().join("packed"));
        let shape = Shape { half: true, ..Shape::TINY };
        random_llama(shape, 1, &mut File::create(&wide).unwrap()).unwrap();
        quantise(&wide, &packed).unwrap();
        let len = fs::metadata(&packed).unwrap().len();
        let header = Header::read(BufReader::new(File::open(&packed).unwrap()), len).unwrap();
        gguf::check_model(&header).unwrap();
        assert_eq!(header.get("general.file_type").and_then(gguf::Value::as_u64), Some(2));
        assert!(header.tensors.iter().filter(|t| t.dims.len() == 2).all(|t| t.kind == q4_0()));
        assert!(len < fs::metadata(&wide).unwrap().len() / 3);
        let model = describe(packed).unwrap();
        assert!(model.step_bytes < header.weight_bytes());
    }
}
