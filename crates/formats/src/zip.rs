//! An office file as a zip archive: its parts by name, unpacked one at a time.
//!
//! What an archive claims is not believed: a part's size is what it unpacks to, under
//! a limit for it and one for all of the document. Nothing is written anywhere.

use std::collections::HashMap;

use context::parse::{Error, Format};
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_with_limit};
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveEntryWayfinder, ZipSliceArchive};

/// Files of an archive: a presentation of 2,000 slides has about 10,000.
const PARTS_MAX: usize = 20_000;
/// Of one part: the largest is the table of a workbook's texts.
pub const PART_BYTES_MAX: usize = 128 << 20;
/// Of all parts that are read of one document.
const BYTES_MAX: usize = 384 << 20;

pub struct Archive<'a> {
    format: Format,
    zip: ZipSliceArchive<&'a [u8]>,
    parts: HashMap<String, Part>,
    unpacked: usize,
}

#[derive(Clone, Copy)]
struct Part {
    at: ZipArchiveEntryWayfinder,
    method: CompressionMethod,
    encrypted: bool,
}

impl<'a> Archive<'a> {
    pub fn open(bytes: &'a [u8], format: Format) -> Result<Archive<'a>, Error> {
        let broken = |why: &str| Error::Broken { format, why: why.into() };
        let zip = ZipArchive::from_slice(bytes).map_err(|_| broken("its list of parts is not there"))?;
        let mut parts = HashMap::new();
        for entry in zip.entries() {
            let entry = entry.map_err(|_| broken("its list of parts is damaged"))?;
            if parts.len() == PARTS_MAX {
                return Err(broken("it has too many parts"));
            }
            let path = entry.file_path();
            let Ok(name) = std::str::from_utf8(path.as_ref()) else { continue };
            let part = Part {
                at: entry.wayfinder(),
                method: entry.compression_method(),
                encrypted: entry.flags().is_encrypted(),
            };
            // Two of one name: which one is shown depends on who shows it.
            if parts.insert(key(name), part).is_some() {
                return Err(broken("two of its parts have one name"));
            }
        }
        Ok(Archive { format, zip, parts, unpacked: 0 })
    }

    /// A part's bytes; `None` when there is none.
    pub fn part(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(part) = self.parts.get(&key(name)).copied() else { return Ok(None) };
        if part.encrypted {
            return Err(Error::Encrypted);
        }
        let damaged =
            || Error::Broken { format: self.format, why: format!("its part {} is damaged", key(name)) };
        let entry = self.zip.get_entry(part.at).map_err(|_| damaged())?;
        let max = PART_BYTES_MAX.min(BYTES_MAX - self.unpacked);
        let bytes = match part.method {
            CompressionMethod::STORE if entry.data().len() > max => return Err(Error::Unpacks { max }),
            CompressionMethod::STORE => entry.data().to_vec(),
            CompressionMethod::DEFLATE => {
                decompress_to_vec_with_limit(entry.data(), max).map_err(|error| match error.status {
                    TINFLStatus::HasMoreOutput => Error::Unpacks { max },
                    _ => damaged(),
                })?
            }
            _ => return Err(damaged()),
        };
        // Its length and its checksum, as the archive has them.
        let claim = entry.claim_verifier();
        claim
            .valid(rawzip::ZipVerification {
                crc: rawzip::crc32(&bytes),
                uncompressed_size: bytes.len() as u64,
            })
            .map_err(|_| damaged())?;
        self.unpacked += bytes.len();
        Ok(Some(bytes))
    }

    /// A part that has to be there.
    pub fn needed(&mut self, name: &str) -> Result<Vec<u8>, Error> {
        let broken =
            || Error::Broken { format: self.format, why: format!("its part {} is not there", key(name)) };
        let missing = broken();
        self.part(name)?.ok_or(missing)
    }
}

/// Names are compared as the makers do: without case, and without a slash before them.
fn key(name: &str) -> String {
    let name: String = name.chars().take(256).collect();
    name.trim_start_matches('/').to_ascii_lowercase()
}
