//! A gate fitted to a collection's own judged questions, for the vectors that it has now.

use std::collections::BTreeMap;

use context::rank::{DevCandidate, DevQuery, Gate, coverage};
use context::text;
use store::documents::{Collection, Reader};
use units::{DocumentId, Labels, Micros, TeamId};

use crate::arms::{Arms, Place};
use crate::embed::{self, Embed};
use crate::search::{Stopwatch, lexing};
use crate::settings::{Fitted, Settings};
use crate::{Collections, Error};

/// Questions that one fit takes. Each is a search; more tell the share no better.
pub const QUESTIONS_MAX: usize = 1_000;
/// Hits of each arm for each of them: what decides the first ten of any mixture.
const CANDIDATES: usize = 100;
/// Questions whose vectors are asked for at once.
const BATCH: usize = 64;

/// A question, and what is known of the documents for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub question: String,
    /// Grades by source; 0, and whatever is not there, is not relevant.
    pub relevant: BTreeMap<String, u32>,
}

impl Collections {
    /// Fits a gate to judged questions, by what the reader may read, and keeps it for everybody's
    /// searches until it is forgotten or the embedder changes.
    ///
    /// # Errors
    /// [`Error::TooFew`] when no script has enough questions; [`Error::Contended`] when the
    /// embedder was changed meanwhile; what the collection's model is refused by or refuses.
    pub fn fit_gate(
        &self,
        reader: &Reader,
        collection: &Collection,
        questions: &[Judged],
        lent: &dyn Embed,
        now: Micros,
    ) -> Result<Fitted, Error> {
        let tenant = self.tenant(reader.team())?;
        let place = Place { collections: self, tenant: &*tenant, reader, collection };
        let mut dev = Vec::new();
        for batch in questions.chunks(BATCH) {
            let asked: Vec<text::Query> =
                batch.iter().map(|j| text::Query::read(&j.question, lexing(collection.lexing))).collect();
            let worded: Vec<String> =
                asked.iter().map(|q| q.text.clone()).filter(|text| !text.trim().is_empty()).collect();
            let mut vectors =
                embed::vectors(lent, &collection.live, &Labels::default(), &worded)?.into_iter();
            for (asked, judged) in asked.iter().zip(batch) {
                if asked.text.trim().is_empty() {
                    continue;
                }
                let vector: Vec<Vec<f32>> = vectors.next().into_iter().collect();
                let mut watch = Stopwatch::start();
                let mut arms = place.arms(asked, &vector, false, None, CANDIDATES, &mut watch)?;
                place.look_beside(&mut arms, &vector)?;
                dev.push(dev_query(asked, &arms, &judged.relevant));
            }
        }
        let fit = Gate::fit(&dev, &embed::known(&collection.live));
        if fit.queries == 0 {
            return Err(Error::TooFew(questions.len()));
        }
        let fitted = Fitted {
            gate: fit.gate,
            generation: collection.live.number,
            questions: fit.queries as u64,
            words: fit.lexical,
            vectors: fit.dense,
            both: fit.fused,
            held_out: fit.held_out,
            at: now,
        };
        self.keep_gate(reader.team(), collection, Some(fitted.clone()))?;
        Ok(fitted)
    }

    /// Forgets the fitted gate; the rule holds again that needs no fitting. `None`: there was none.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn forget_gate(&self, team: TeamId, collection: &Collection) -> Result<Option<Fitted>, Error> {
        self.keep_gate(team, collection, None)
    }

    /// Returns the one before.
    pub(crate) fn keep_gate(
        &self,
        team: TeamId,
        collection: &Collection,
        gate: Option<Fitted>,
    ) -> Result<Option<Fitted>, Error> {
        let tenant = self.tenant(team)?;
        let now = tenant.collection(&collection.name)?.filter(|c| c.id == collection.id);
        let now = now.ok_or_else(|| Error::NoCollection(collection.name.clone()))?;
        if gate.as_ref().is_some_and(|fitted| fitted.generation != now.live.number) {
            return Err(Error::Contended);
        }
        let before = Settings::read(&now.settings)?;
        let settings = Settings { gate, ..before.clone() };
        if settings != before {
            tenant.update_collection(Collection { settings: settings.to_text(), ..now })?;
        }
        Ok(before.gate)
    }
}

fn dev_query(asked: &text::Query, arms: &Arms, relevant: &BTreeMap<String, u32>) -> DevQuery {
    let mut documents: BTreeMap<DocumentId, u32> = BTreeMap::new();
    let mut missed = relevant.clone();
    let candidates = arms.chunks.iter().map(|chunk| {
        missed.remove(&chunk.source);
        let next = documents.len() as u32;
        DevCandidate {
            document: *documents.entry(chunk.document).or_insert(next),
            lexical: arms.lexical.get(&chunk.id).copied(),
            dense: arms.cosine(chunk.id),
            coverage: coverage(&asked.terms, &chunk.text),
            grade: relevant.get(&chunk.source).copied().unwrap_or(0),
        }
    });
    let candidates = candidates.collect();
    DevQuery { script: asked.script, candidates, missed: missed.into_values().collect() }
}
