//! A page of a listing (`ListObjectsV2`), read with suspicion.

use formats::{Fault, Token, Tokens};
use report::Report;

const DEPTH_MAX: usize = 16;
/// Objects of a page: more than were asked for are no page.
const OBJECTS_MAX: usize = 10_000;
const TOKEN_BYTES_MAX: usize = 4_096;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub objects: Vec<Object>,
    /// What the page behind this one is asked by.
    pub next: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Object {
    pub key: String,
    /// The entity tag, with its quotes.
    pub tag: String,
}

/// # Errors
/// CX0015: it is no listing.
pub(crate) fn listing(bytes: &[u8]) -> Result<Listing, Report> {
    let mut tokens = Tokens::new(bytes, DEPTH_MAX);
    let mut listing = Listing::default();
    let (mut root, mut truncated, mut encoded) = (false, false, false);
    let (mut object, mut inside, mut text) = (Object::default(), false, String::new());
    let mut token = String::new();
    loop {
        match tokens.token().map_err(unreadable)? {
            Token::Open(element) if !root => {
                root = element.is("ListBucketResult");
                if !root {
                    let name: String = element.name().chars().take(40).collect();
                    return Err(no_listing(format!("its root is <{name}>")));
                }
            }
            Token::Open(element) => {
                text.clear();
                if element.is("Contents") {
                    (object, inside) = (Object::default(), true);
                }
            }
            Token::Text(part) => text.push_str(&part),
            Token::Close(name) => {
                match name.as_str() {
                    "Key" if inside => object.key = std::mem::take(&mut text),
                    "ETag" if inside => object.tag = std::mem::take(&mut text),
                    "Contents" => {
                        inside = false;
                        if listing.objects.len() == OBJECTS_MAX {
                            return Err(no_listing(format!("a page has more than {OBJECTS_MAX} objects")));
                        }
                        listing.objects.push(std::mem::take(&mut object));
                    }
                    "IsTruncated" => truncated = text.trim() == "true",
                    "NextContinuationToken" => token = std::mem::take(&mut text),
                    "EncodingType" => encoded = text.trim() == "url",
                    _ => {}
                }
                text.clear();
            }
            Token::End if !root => return Err(no_listing("there is nothing in it".into())),
            Token::End => break,
        }
    }
    if truncated {
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(no_listing("it goes on, and does not say how".into()));
        }
        listing.next = Some(token);
    }
    if encoded {
        for object in &mut listing.objects {
            object.key = decoded(&object.key)?;
        }
    }
    Ok(listing)
}

/// The word by which a refusal says why; empty when there is none.
pub(crate) fn error_code(bytes: &[u8]) -> String {
    let mut tokens = Tokens::new(bytes, DEPTH_MAX);
    let mut inside = false;
    loop {
        match tokens.token() {
            Ok(Token::Open(element)) => inside = element.is("Code"),
            Ok(Token::Text(text)) if inside => return text.trim().chars().take(60).collect(),
            Ok(Token::End) | Err(_) => return String::new(),
            _ => {}
        }
    }
}

fn no_listing(why: String) -> Report {
    Report::new("CX0015", "the source's answer is no listing of a bucket").because(why)
}

fn unreadable(fault: Fault) -> Report {
    no_listing(match fault {
        Fault::TooDeep { max } => format!("its elements stand more than {max} deep within each other"),
        Fault::Broken(why) => why,
    })
}

/// A key as `encoding-type=url` writes it: a plus is a space.
fn decoded(text: &str) -> Result<String, Report> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
                match (digit(rest.next()), digit(rest.next())) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => return Err(no_listing("a key is encoded wrongly".into())),
                }
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| no_listing("a key is not UTF-8".into()))
}
