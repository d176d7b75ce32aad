//! A model that knows nothing: any allowed token, with a bias to end.

use constrain::{Piece, Vocabulary};
use scheduler::{Constraint, Random};

/// One token a byte, a few words as real vocabularies have, and two ends.
pub fn bytes() -> (Vec<Piece>, Vec<u32>) {
    let mut pieces: Vec<Piece> = (0..=255u8).map(|b| Piece::Text(vec![b])).collect();
    for word in
        ["\": ", "\", \"", "{\"", "true", "false", "null", "  ", "\n  ", "},", "ab", "é", "日本", "123"]
    {
        pieces.push(Piece::Text(word.as_bytes().to_vec()));
    }
    let end = pieces.len() as u32;
    pieces.push(Piece::Mark("<|end|>".into()));
    pieces.push(Piece::Text(b"</s>".to_vec()));
    (pieces, vec![end, end + 1])
}

pub fn vocabulary() -> Vocabulary {
    let (pieces, ends) = bytes();
    Vocabulary::new(pieces, &ends).expect("it ends")
}

/// Draws an answer. `None`: it did not end within `max` tokens. An error is a
/// request that failed, which is allowed but counted.
pub fn draw(
    pieces: &[Piece],
    ends: &[u32],
    mut state: Box<dyn Constraint>,
    seed: u64,
    max: usize,
) -> Result<Option<Vec<u8>>, String> {
    let mut random = Random::new(seed, 0);
    let mut out: Vec<u8> = Vec::new();
    let mut words = vec![0u32; pieces.len().div_ceil(32)];
    for step in 0..max {
        words.fill(0);
        state.allow(&mut words)?;
        let allowed: Vec<u32> =
            (0..pieces.len() as u32).filter(|t| words[*t as usize / 32] >> (t % 32) & 1 == 1).collect();
        if allowed.is_empty() {
            return Err("an empty set was allowed".into());
        }
        let pressed = random.next_u32() % 100 < (step as u32 * 100 / max as u32).max(20);
        let token = choose(pieces, ends, &allowed, &out, pressed, &mut random);
        state.accept(token)?;
        if ends.contains(&token) {
            if !state.is_complete() {
                return Err("an end was accepted and the state is not complete".into());
            }
            return Ok(Some(out));
        }
        if let Piece::Text(bytes) = &pieces[token as usize] {
            out.extend(bytes);
        }
    }
    Ok(None)
}

/// Any token; under pressure one that ends something. Digits end by themselves:
/// a number that no reader can hold is a text question, not a schema's.
fn choose(
    pieces: &[Piece],
    ends: &[u32],
    allowed: &[u32],
    out: &[u8],
    pressed: bool,
    random: &mut Random,
) -> u32 {
    let mut pick = |from: &[u32]| from[random.next_u32() as usize % from.len()];
    let closing = |t: &u32| match &pieces[*t as usize] {
        Piece::Text(b) => matches!(b.first(), Some(b'"' | b'}' | b']')),
        Piece::Mark(_) => false,
    };
    let digits = out.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let exponent = matches!(
        out.iter().rev().find(|b| !b.is_ascii_digit() && **b != b'-' && **b != b'+'),
        Some(b'e' | b'E')
    );
    if pressed || digits > 12 || (exponent && digits >= 1) {
        let ending: Vec<u32> = allowed.iter().copied().filter(|t| ends.contains(t)).collect();
        if !ending.is_empty() {
            return pick(&ending);
        }
        let closers: Vec<u32> = allowed.iter().copied().filter(closing).collect();
        if !closers.is_empty() {
            return pick(&closers);
        }
        let plain: Vec<u32> = allowed
            .iter()
            .copied()
            .filter(|t| match &pieces[*t as usize] {
                Piece::Text(b) => {
                    !b.iter().any(|c| c.is_ascii_digit() || matches!(c, b'{' | b'[' | b'.' | b'e' | b'E'))
                }
                Piece::Mark(_) => true,
            })
            .collect();
        if !plain.is_empty() {
            return pick(&plain);
        }
    }
    pick(allowed)
}
