//! Messages on a byte stream: four bytes of length, the lowest first, then as many.

use std::io::{self, Read};

/// Largest frame: a request's body is at most 32 MiB, 2,048 vectors of 4,096
/// numbers are 32 MiB, and a block of 64 tokens of a 70 B model 20 MiB.
pub(crate) const FRAME_MAX: usize = 64 << 20;

/// Puts a frame's contents behind its length.
///
/// # Errors
/// When it is too large to be sent.
pub(crate) fn put(contents: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    if contents.len() > FRAME_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame is too large"));
    }
    out.extend_from_slice(&(contents.len() as u32).to_le_bytes());
    out.extend_from_slice(contents);
    Ok(())
}

/// The next frame's contents; `None` at the end of the stream. Memory grows as
/// bytes come, not as a length says.
///
/// # Errors
/// When the stream fails, ends inside a frame, or a frame is larger than allowed.
pub(crate) fn read(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0u8; 4];
    match from.read(&mut length)? {
        0 => return Ok(None),
        got => from.read_exact(&mut length[got..])?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > FRAME_MAX {
        let what = format!("a frame of {length} bytes; at most {FRAME_MAX} are allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut contents = Vec::with_capacity(length.min(1 << 16));
    from.by_ref().take(length as u64).read_to_end(&mut contents)?;
    if contents.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(contents))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in() {
        let mut bytes = Vec::new();
        for contents in [&b""[..], b"a", &[7; 100_000]] {
            put(contents, &mut bytes).expect("it is small");
        }
        let mut from = &bytes[..];
        for length in [0, 1, 100_000] {
            assert_eq!(read(&mut from).expect("whole").map(|c| c.len()), Some(length));
        }
        assert_eq!(read(&mut from).expect("the end"), None);
    }

    #[test]
    fn a_cut_or_an_absurd_frame_is_an_error_and_costs_nothing() {
        let mut bytes = Vec::new();
        put(b"hello", &mut bytes).expect("it is small");
        for end in 1..bytes.len() {
            assert!(read(&mut &bytes[..end]).is_err(), "cut at {end}");
        }
        assert!(read(&mut &u32::MAX.to_le_bytes()[..]).is_err());
        assert!(put(&vec![0; FRAME_MAX + 1], &mut Vec::new()).is_err());
    }
}
