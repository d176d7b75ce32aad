//! Vectors of texts: by the embedder that is built in, or by a model that a role lends.
//!
//! A generation of a collection's vectors names what made them: `lexical-hash-1`, or a
//! model and behind a space the very weights (`minilm local:8d1f…`). A model's name may
//! lead to other weights tomorrow, or to a second target that is asked when the first is
//! down; so whoever lends one says each time what has computed, and vectors of another
//! maker are neither kept nor compared.

use context::embed::{Embedder, lexical_hash};
use context::text::Script;
use report::Report;
use store::Spent;
use store::documents::Generation;
use units::Labels;

use crate::{EMBEDDER, Error};

/// Texts that a model is asked for at once.
pub(crate) const BATCH: usize = 64;
/// A text that is too long for a model is read from its beginning, down to here.
const SHORTEST: usize = 64;

/// A model, lent by whoever has some. This crate has none.
pub trait Embed {
    /// One vector for each text, in their order. `labels` are those of the texts.
    ///
    /// # Errors
    /// As a person is told: no such model, not granted, not admissible, not paid for,
    /// not in memory; EN0001 for a text that is too long for it.
    fn embed(&self, model: &str, labels: &Labels, texts: &[String]) -> Result<Embedded, Report>;

    /// What that took so far, where it was paid for.
    fn spent(&self) -> Vec<Spent> {
        Vec::new()
    }
}

/// What a model made.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// The very weights, without a space: vectors of others are not comparable.
    pub made_by: String,
    pub vectors: Vec<Vec<f32>>,
}

/// The model that makes a generation's vectors; `None`: the built-in embedder does.
pub(crate) fn model_of(generation: &Generation) -> Option<&str> {
    match generation.embedder.split_once(' ') {
        Some((model, _)) => Some(model),
        None if generation.embedder == EMBEDDER => None,
        None => Some(&generation.embedder),
    }
}

/// As a generation names its embedder.
pub(crate) fn name(model: &str, made_by: &str) -> String {
    format!("{model} {}", made_by.replace(' ', "_"))
}

/// What the gate must know of it. That a model has learned any script but Latin is not
/// taken for granted: where one had not, its arm cost half of what words alone found.
pub(crate) fn known(generation: &Generation) -> Embedder {
    match model_of(generation) {
        None => Embedder::lexical_hash(),
        Some(_) => Embedder {
            name: generation.embedder.clone(),
            dimensions: generation.dimensions as usize,
            semantic: true,
            scripts: vec![Script::Latin],
        },
    }
}

/// What an embedder is given of a part: the headings above it, then its text.
pub(crate) fn read_with(heading: &str, text: &str) -> String {
    if heading.is_empty() {
        return text.to_owned();
    }
    format!("{}\n{text}", heading.replace('\n', " > "))
}

/// Vectors for a generation, each sound and of its maker.
///
/// # Errors
/// [`Error::Model`], [`Error::OtherEmbedder`], [`Error::Vector`].
pub(crate) fn vectors(
    embed: &dyn Embed,
    generation: &Generation,
    labels: &Labels,
    texts: &[String],
) -> Result<Vec<Vec<f32>>, Error> {
    let Some(model) = model_of(generation) else {
        return Ok(texts.iter().map(|text| lexical_hash(text)).collect());
    };
    let Some(made) = by(embed, model, labels, texts)? else { return Ok(Vec::new()) };
    is_of(generation, model, &made)?;
    Ok(made.vectors)
}

/// Whether vectors are comparable with a generation's.
///
/// # Errors
/// [`Error::OtherEmbedder`], [`Error::Vector`].
pub(crate) fn is_of(generation: &Generation, model: &str, made: &Embedded) -> Result<(), Error> {
    let made_by = name(model, &made.made_by);
    if made_by != generation.embedder {
        return Err(Error::OtherEmbedder { kept: generation.embedder.clone(), made: made_by });
    }
    let expected = generation.dimensions as usize;
    match made.vectors.iter().find(|vector| vector.len() != expected) {
        Some(wrong) => Err(Error::Vector {
            model: model.to_owned(),
            why: format!("one has {} dimensions, and the collection's have {expected}", wrong.len()),
        }),
        None => Ok(()),
    }
}

/// What a model makes of texts, in batches; `None` of none. All of one maker, as many as
/// texts, finite, not zero, equally long.
pub(crate) fn by(
    embed: &dyn Embed,
    model: &str,
    labels: &Labels,
    texts: &[String],
) -> Result<Option<Embedded>, Error> {
    let mut all: Option<Embedded> = None;
    for batch in texts.chunks(BATCH) {
        let made = batch_by(embed, model, labels, batch)?;
        let wrong = |why: String| Error::Vector { model: model.to_owned(), why };
        if made.vectors.len() != batch.len() {
            return Err(wrong(format!("it made {} for {} texts", made.vectors.len(), batch.len())));
        }
        let dimensions = all.as_ref().unwrap_or(&made).vectors[0].len();
        for vector in &made.vectors {
            if vector.is_empty() || vector.len() != dimensions {
                return Err(wrong(format!("one has {} dimensions, another {dimensions}", vector.len())));
            }
            if let Some(bad) = vector.iter().find(|number| !number.is_finite()) {
                return Err(wrong(format!("one holds {bad}")));
            }
            if vector.iter().all(|number| *number == 0.0) {
                return Err(wrong("one is zero, which is as near to everything as to nothing".into()));
            }
        }
        match &mut all {
            None => all = Some(made),
            Some(all) if all.made_by == made.made_by => all.vectors.extend(made.vectors),
            // Half by one target and half by another: the model's name stands for both.
            Some(all) => {
                let (kept, made) = (name(model, &all.made_by), name(model, &made.made_by));
                return Err(Error::OtherEmbedder { kept, made });
            }
        }
    }
    Ok(all)
}

/// A text that is too long is read from its beginning: parts are cut for most models,
/// not for the smallest.
fn batch_by(embed: &dyn Embed, model: &str, labels: &Labels, batch: &[String]) -> Result<Embedded, Error> {
    let too_long = match embed.embed(model, labels, batch) {
        Err(report) if report.code.0 == "EN0001" => report,
        done => return done.map_err(Error::Model),
    };
    if let [text] = batch {
        if text.len() <= SHORTEST {
            return Err(Error::Model(too_long));
        }
        let shorter = text[..text.floor_char_boundary(text.len() / 4 * 3)].to_owned();
        return batch_by(embed, model, labels, &[shorter]);
    }
    let (first, second) = batch.split_at(batch.len() / 2);
    let (mut made, rest) = (batch_by(embed, model, labels, first)?, batch_by(embed, model, labels, second)?);
    if made.made_by != rest.made_by {
        let (kept, made) = (name(model, &made.made_by), name(model, &rest.made_by));
        return Err(Error::OtherEmbedder { kept, made });
    }
    made.vectors.extend(rest.vectors);
    Ok(made)
}
