//! How the parts of an office file refer to each other.

use context::parse::{Error, Format};

use crate::xml::{Token, Xml};
use crate::zip::Archive;

/// Levels of elements within each other in any part.
pub const DEPTH_MAX: usize = 256;
/// Of one part. A presentation has one for each slide.
const RELATIONS_MAX: usize = 20_000;

pub struct Relation {
    pub id: String,
    /// The last word of its type: `slide`, `comments`.
    pub kind: String,
    /// The name of the part that is meant.
    pub target: String,
}

/// What a part refers to inside of the archive. None when it has no list of them.
pub fn relations(archive: &mut Archive<'_>, part: &str, format: Format) -> Result<Vec<Relation>, Error> {
    let (folder, file) = part.rsplit_once('/').unwrap_or(("", part));
    let list =
        if folder.is_empty() { format!("_rels/{file}.rels") } else { format!("{folder}/_rels/{file}.rels") };
    let Some(bytes) = archive.part(&list)? else { return Ok(Vec::new()) };
    let mut xml = Xml::new(&bytes, format, DEPTH_MAX);
    let mut relations = Vec::new();
    loop {
        match xml.next()? {
            Token::Open(element) if element.is("Relationship") => {
                if element.get("TargetMode").as_deref() == Some("External") {
                    continue;
                }
                let (Some(id), Some(kind), Some(target)) =
                    (element.get("Id"), element.get("Type"), element.get("Target"))
                else {
                    continue;
                };
                if relations.len() == RELATIONS_MAX {
                    return Err(Error::Broken { format, why: "a part refers to too many others".into() });
                }
                let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
                relations.push(Relation { id, kind, target: resolved(folder, &target) });
            }
            Token::End => return Ok(relations),
            _ => {}
        }
    }
}

/// The part that the document is, as the archive says; else where it usually is.
pub fn main_part(archive: &mut Archive<'_>, usual: &str, format: Format) -> Result<String, Error> {
    let main = relations(archive, "", format)?.into_iter().find(|r| r.kind == "officeDocument");
    Ok(main.map_or_else(|| usual.to_owned(), |r| r.target))
}

/// The document's own title, from its properties.
pub fn title(archive: &mut Archive<'_>, format: Format) -> Result<Option<String>, Error> {
    let Some(bytes) = archive.part("docProps/core.xml")? else { return Ok(None) };
    let mut xml = Xml::new(&bytes, format, DEPTH_MAX);
    let (mut inside, mut title) = (false, String::new());
    loop {
        match xml.next()? {
            Token::Open(element) if element.is("title") => inside = true,
            Token::Close(name) if name == "title" => return Ok(Some(title)),
            Token::Text(text) if inside && title.len() < 1_000 => title.push_str(&text),
            Token::End => return Ok(None),
            _ => {}
        }
    }
}

/// The name of a part as another one writes it: from the root, or from its own folder.
fn resolved(folder: &str, target: &str) -> String {
    if let Some(absolute) = target.strip_prefix('/') {
        return absolute.to_owned();
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}
