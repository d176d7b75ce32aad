//! Another embedder for a collection: its vectors are made beside the ones that are
//! searched, and take their place at once when all are there.
//!
//! What has been made is in the store, so that whoever continues, after a crash too,
//! makes the rest. Documents that come meanwhile go to the live generation and are made
//! up for in the next step. The generation before stays, so that the way back is short.

use store::documents::{ChunkId, Collection, Generation, Tenant, Unembedded};
use units::{Labels, TeamId};

use crate::embed::{self, BATCH, Embed, Embedded};
use crate::settings::Settings;
use crate::{Collections, EMBEDDER, Error};

/// How long a step goes on before it says how far it is: a client waits for its answer.
const STEP_US: u64 = 5_000_000;
/// Parts that are read of the store at once. Each reading looks through the collection.
const READ: usize = 2_048;
/// What a model is asked before anything else, to know what it is now.
const PROBE: &str = "What makes these vectors?";

/// How far a collection's new vectors are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reindexed {
    /// As its generation names it.
    pub embedder: String,
    pub generation: u32,
    /// Parts that this step embedded.
    pub embedded: u64,
    /// Parts that are still to be embedded.
    pub left: u64,
    /// Whether searches use it.
    pub live: bool,
}

impl Collections {
    /// Takes a collection a step towards an embedder: `lexical-hash`, or a model. Repeat it
    /// until it is live; `None` goes on to the embedder that it is to have.
    ///
    /// # Errors
    /// What the model is refused by or refuses; what was embedded is kept.
    pub fn reindex(
        &self,
        team: TeamId,
        collection: &Collection,
        embedder: Option<&str>,
        lent: &dyn Embed,
    ) -> Result<Reindexed, Error> {
        let tenant = self.tenant(team)?;
        let mut settings = Settings::read(&collection.settings)?;
        if let Some(embedder) = embedder {
            let wanted = (!is_built_in(embedder)).then(|| embedder.to_owned());
            if settings.embedder != wanted {
                settings.embedder = wanted;
                tenant
                    .update_collection(Collection { settings: settings.to_text(), ..collection.clone() })?;
            }
        }
        let model = settings.embedder.as_deref();
        let probe = match model {
            None => None,
            Some(model) => embed::by(lent, model, &Labels::default(), &[PROBE.to_owned()])?,
        };
        let (name, dimensions) = match (model, &probe) {
            (Some(model), Some(probe)) => (embed::name(model, &probe.made_by), probe.vectors[0].len() as u32),
            _ => (EMBEDDER.to_owned(), context::embed::DIMENSIONS as u32),
        };
        let mut known = std::iter::once(&collection.live).chain(&collection.beside);
        let found = known.find(|g| g.embedder == name && g.dimensions == dimensions);
        let generation = match found {
            Some(generation) => generation.clone(),
            None => Generation {
                number: tenant.begin_generation(collection.id, &name, dimensions)?,
                embedder: name,
                dimensions,
            },
        };
        let (embedded, left) = match generation == collection.live {
            true => (0, 0),
            false => fill(&*tenant, collection, &generation, lent)?,
        };
        let mut done = Reindexed {
            embedder: generation.embedder.clone(),
            generation: generation.number,
            embedded,
            left,
            live: generation == collection.live,
        };
        if left == 0 && !done.live {
            match tenant.activate(collection.id, generation.number) {
                // What came in between is for the next step.
                Err(store::Error::Incomplete { missing, .. }) => done.left = missing,
                turned => {
                    turned?;
                    done.live = true;
                    // It was fitted to other vectors.
                    self.keep_gate(team, collection, None)?;
                    // One way back is kept, and no more.
                    for other in collection.beside.iter().filter(|g| g.number != generation.number) {
                        tenant.drop_generation(collection.id, other.number)?;
                    }
                }
            }
        }
        Ok(done)
    }

    /// The model that makes the vectors of what is put next: the live generation's, or the
    /// one that an empty collection is to have.
    pub(crate) fn embedder_of(
        &self,
        tenant: &dyn Tenant,
        collection: &Collection,
    ) -> Result<Option<String>, Error> {
        let live = embed::model_of(&collection.live);
        let wanted = Settings::read(&collection.settings)?.embedder;
        let begins = wanted.is_some() && wanted.as_deref() != live && is_empty(tenant, collection)?;
        Ok(if begins { wanted } else { live.map(str::to_owned) })
    }

    /// The generation for vectors that a model has just made: the live one, or the first of
    /// its own in a collection that has nothing in it.
    pub(crate) fn first_generation(
        &self,
        tenant: &dyn Tenant,
        collection: &Collection,
        model: &str,
        made: Option<&Embedded>,
    ) -> Result<Generation, Error> {
        let Some(made) = made.filter(|_| embed::model_of(&collection.live) != Some(model)) else {
            return Ok(collection.live.clone());
        };
        let (embedder, dimensions) = (embed::name(model, &made.made_by), made.vectors[0].len() as u32);
        let number = tenant.begin_generation(collection.id, &embedder, dimensions)?;
        match tenant.activate(collection.id, number) {
            Ok(()) => {
                tenant.drop_generation(collection.id, collection.live.number)?;
                Ok(Generation { number, embedder, dimensions })
            }
            // Somebody was first.
            Err(store::Error::Incomplete { .. }) => {
                tenant.drop_generation(collection.id, number)?;
                Err(Error::Contended)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a word means the embedder that is built in.
fn is_built_in(word: &str) -> bool {
    word == EMBEDDER || EMBEDDER.strip_prefix(word) == Some("-1")
}

fn is_empty(tenant: &dyn Tenant, collection: &Collection) -> Result<bool, Error> {
    Ok(tenant.index_classes(collection.id, None, 1)?.is_empty())
}

/// Embeds what has no vector yet, for a while. How many, and how many are left.
fn fill(
    tenant: &dyn Tenant,
    collection: &Collection,
    generation: &Generation,
    lent: &dyn Embed,
) -> Result<(u64, u64), Error> {
    let until = runtime::clock::monotonic_us() + STEP_US;
    let mut embedded = 0;
    loop {
        let rows = tenant.unembedded(collection.id, generation.number, READ)?;
        if rows.is_empty() {
            return Ok((embedded, 0));
        }
        // Alike labels together: what one document may not be told to is not asked for another.
        for same in rows.chunk_by(|a, b| a.labels == b.labels) {
            for batch in same.chunks(BATCH) {
                let labels = collection.labels.join(&batch[0].labels);
                let texts: Vec<String> = batch.iter().map(read).collect();
                let vectors = embed::vectors(lent, generation, &labels, &texts)?;
                let given: Vec<(ChunkId, Vec<f32>)> =
                    batch.iter().map(|row| row.chunk).zip(vectors).collect();
                embedded += given.len() as u64;
                let left = tenant.put_vectors(collection.id, generation.number, given)?;
                if left > 0 && runtime::clock::monotonic_us() >= until {
                    return Ok((embedded, left));
                }
            }
        }
    }
}

fn read(row: &Unembedded) -> String {
    embed::read_with(&row.heading, &row.text)
}
