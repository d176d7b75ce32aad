//! A WordPiece vocabulary, from `tokenizer.json` or `vocab.txt`, as llama.cpp reads one.

use std::collections::BTreeSet;

use serde_json::Value;

use super::config::json;
use super::{Error, Folder, TOKENS_MAX};

/// Bytes of one token at most.
const TOKEN_MAX: usize = 512;
/// The numbers of the format for what a token is.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Vocabulary {
    /// As llama.cpp looks them up: a word's beginning with `▁` before it, its
    /// continuation without `##`.
    pub tokens: Vec<String>,
    pub kinds: Vec<i32>,
    pub cls: u32,
    pub sep: u32,
    pub unknown: u32,
    pub pad: Option<u32>,
    pub mask: Option<u32>,
    pub lowercase: bool,
    pub strip_accents: bool,
}

/// The normalizer's two choices.
struct Words {
    lowercase: bool,
    strip_accents: bool,
}

pub(super) fn read(folder: &Folder<'_>) -> Result<Vocabulary, Error> {
    let (pieces, words) = match (folder.tokenizer, folder.vocabulary) {
        (Some(tokenizer), _) => of_tokenizer(tokenizer)?,
        (None, Some(text)) => (of_text(text)?, words_of_config(folder)?),
        (None, None) => return Err(Error::Missing("tokenizer.json or vocab.txt")),
    };
    let id = |token: &str| pieces.iter().position(|piece| piece == token).map(|at| at as u32);
    let needed = |token: &'static str| {
        id(token).ok_or_else(|| Error::Unsupported(format!("its vocabulary has no {token}")))
    };
    let (cls, sep, unknown) = (needed("[CLS]")?, needed("[SEP]")?, needed("[UNK]")?);
    let (pad, mask) = (id("[PAD]"), id("[MASK]"));
    let special: BTreeSet<u32> =
        [Some(cls), Some(sep), Some(unknown), pad, mask].into_iter().flatten().collect();
    let kinds = (0..pieces.len() as u32).map(|at| if special.contains(&at) { CONTROL } else { NORMAL });
    let kinds = kinds.collect();
    let tokens: Vec<String> = pieces.iter().map(|piece| looked_up(piece)).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = tokens.iter().find(|token| !seen.insert(token.as_str())) {
        return Err(Error::Unsupported(format!("its vocabulary has \"{twice:.40}\" twice")));
    }
    let Words { lowercase, strip_accents } = words;
    Ok(Vocabulary { tokens, kinds, cls, sep, unknown, pad, mask, lowercase, strip_accents })
}

fn looked_up(piece: &str) -> String {
    if piece.starts_with('[') && piece.ends_with(']') {
        return piece.to_owned();
    }
    match piece.strip_prefix("##") {
        // An empty one would match everywhere and say nothing; as a word of its own it is `##`.
        Some("") | None => format!("\u{2581}{piece}"),
        Some(rest) => rest.to_owned(),
    }
}

/// One token a line. The last line may end the file.
fn of_text(bytes: &[u8]) -> Result<Vec<String>, Error> {
    let wrong = |why: String| Error::File { file: "vocab.txt", why };
    let text = std::str::from_utf8(bytes).map_err(|e| wrong(e.to_string()))?;
    let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let pieces: Vec<String> = lines.map(|line| line.trim_end_matches('\r').to_owned()).collect();
    sound(&pieces).map_err(wrong)?;
    Ok(pieces)
}

fn words_of_config(folder: &Folder<'_>) -> Result<Words, Error> {
    let Some(bytes) = folder.tokenizer_config else {
        return Ok(Words { lowercase: true, strip_accents: true });
    };
    let config = json("tokenizer_config.json", bytes)?;
    let lowercase = config["do_lower_case"].as_bool().unwrap_or(true);
    Ok(Words { lowercase, strip_accents: config["strip_accents"].as_bool().unwrap_or(lowercase) })
}

fn of_tokenizer(bytes: &[u8]) -> Result<(Vec<String>, Words), Error> {
    const FILE: &str = "tokenizer.json";
    let tokenizer = json(FILE, bytes)?;
    let wrong = |why: String| Error::File { file: FILE, why };
    let refuse = |why: String| Err(Error::Unsupported(why));
    let model = &tokenizer["model"];
    // Older files leave the type out; only this model has the prefix.
    let kind = model["type"].as_str().unwrap_or("WordPiece");
    if kind != "WordPiece" || model["continuing_subword_prefix"].as_str().unwrap_or("##") != "##" {
        return refuse(format!("its tokenizer is \"{kind:.40}\"; \"WordPiece\" is imported"));
    }
    let normalizer = &tokenizer["normalizer"];
    if normalizer["type"].as_str() != Some("BertNormalizer")
        || normalizer["handle_chinese_chars"].as_bool() == Some(false)
    {
        return refuse("its tokenizer does not normalize text as BERT's does".into());
    }
    let splits = tokenizer["pre_tokenizer"]["type"].as_str();
    if splits != Some("BertPreTokenizer") {
        return refuse(format!("its tokenizer splits words by \"{:.40}\"", splits.unwrap_or("nothing")));
    }
    let lowercase = normalizer["lowercase"].as_bool().unwrap_or(true);
    let strip_accents = normalizer["strip_accents"].as_bool().unwrap_or(lowercase);
    let listed = model["vocab"].as_object().ok_or_else(|| wrong("it has no vocabulary".into()))?;
    let mut pieces: Vec<Option<String>> = vec![None; listed.len().min(TOKENS_MAX)];
    for (piece, id) in listed {
        let place = id.as_u64().and_then(|id| pieces.get_mut(usize::try_from(id).ok()?));
        match place {
            Some(place) if place.is_none() => *place = Some(piece.clone()),
            _ => return Err(wrong(format!("token \"{piece:.40}\" has the number {id}"))),
        }
    }
    // As many as numbers, each once: none is missing.
    let mut pieces: Vec<String> = pieces.into_iter().flatten().collect();
    add(&tokenizer, &mut pieces).map_err(wrong)?;
    sound(&pieces).map_err(wrong)?;
    Ok((pieces, Words { lowercase, strip_accents }))
}

/// Tokens that were added behind the vocabulary, in their order.
fn add(tokenizer: &Value, pieces: &mut Vec<String>) -> Result<(), String> {
    for added in tokenizer["added_tokens"].as_array().into_iter().flatten() {
        let (id, text) = (added["id"].as_u64(), added["content"].as_str().unwrap_or_default());
        match id.map(|id| id as usize) {
            Some(id) if id < pieces.len() && pieces[id] == text => {}
            Some(id) if id == pieces.len() && id < TOKENS_MAX => pieces.push(text.to_owned()),
            _ => return Err(format!("the added token \"{text:.40}\" has the number {}", added["id"])),
        }
    }
    Ok(())
}

fn sound(pieces: &[String]) -> Result<(), String> {
    if pieces.is_empty() || pieces.len() > TOKENS_MAX {
        return Err(format!("it has {} tokens; 1 to {TOKENS_MAX} can be", pieces.len()));
    }
    let bad = |piece: &&String| piece.is_empty() || piece.len() > TOKEN_MAX || piece.contains('\0');
    match pieces.iter().find(bad) {
        Some(piece) => Err(format!("token \"{piece:.40}\" is empty, or too long, or holds a zero")),
        None => Ok(()),
    }
}
