//! The near tier of kept answers: a question that was asked in other clothes.
//!
//! What must hold before similarity is looked at, and is never overruled by it: the same
//! partition (whose, labels, model, system prompt, tools, policy, collections, parameters);
//! the reader may read every document of the answer, as it was then; the asker was given the
//! very same documents, so that who may read more is not given an answer from less; and
//! the words are the same but for politeness, with their numbers, names and negations
//! ([`context::cache::near`]). Vectors only find candidates.
//!
//! What is left is bounded by the answer's own record: it is given as often as keeps the
//! expected share of wrong answers below δ, and otherwise the question is answered anew
//! and the two answers are compared ([`Bound`], after vCache). So a judge is never asked
//! for more than an answer that somebody wanted anyway.

use context::cache::{Bound, Decision, Near, near};
use context::embed::cosine;
use store::documents::{Answer, Dependency, Reader};
use units::{AnswerId, Micros, TeamId};

use crate::{Collections, Error};

/// Kept answers of a partition that are compared, the newest: some 3 ms.
const COMPARED_MAX: usize = 500;
/// Of those the most similar whose words are compared.
const CANDIDATES: usize = 5;
/// Below it two questions cannot have the same words but for politeness, or have so few
/// that the exact tier is the place for them.
const SIMILARITY_MIN: f32 = 0.5;

/// A question that nobody has asked with just these words.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub partition: &'a [u8; 32],
    pub text: &'a str,
    pub vector: &'a [f32],
    /// What the asker was given to read for it; sorted, each once.
    pub documents: &'a [Dependency],
}

/// What the near tier has for a question.
#[derive(Clone, Debug)]
pub enum Nearest {
    Nothing,
    /// To be given again.
    Give(Box<Kept>),
    /// To be compared with what the question is answered anew.
    Judge(Box<Kept>),
}

/// A kept answer, and how sure its record is.
#[derive(Clone, Debug)]
pub struct Kept {
    pub answer: Answer,
    pub similarity: f32,
    /// With a confidence of 95 % it is right at least so often.
    pub right_at_least: f64,
}

impl Collections {
    /// The kept answer to a near question. `delta` is the share of wrong answers that is
    /// aimed at; `draw` is uniform between 0 and 1, drawn anew for each question.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn near_answer(
        &self,
        reader: &Reader,
        question: &Question<'_>,
        delta: f64,
        draw: f64,
        now: Micros,
    ) -> Result<Nearest, Error> {
        let tenant = self.tenant(reader.team())?;
        let kept = tenant.answer_vectors(reader, question.partition, now, COMPARED_MAX)?;
        let mut candidates: Vec<(f32, AnswerId)> = kept
            .iter()
            .filter(|kept| kept.vector.len() == question.vector.len())
            .map(|kept| (cosine(question.vector, &kept.vector), kept.id))
            .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
            .collect();
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        for (similarity, id) in candidates.into_iter().take(CANDIDATES) {
            // Asked once more, as whatever leaves with text.
            let Some(answer) = tenant.answer_by_id(reader, id, now)? else { continue };
            if near(question.text, &answer.question) != Near::Equal
                || answer.dependencies != question.documents
            {
                continue;
            }
            let mut bound = Bound::new();
            for (similarity, right) in tenant.observations(reader, id, now)? {
                bound.observe(similarity, right);
            }
            let kept = Kept { right_at_least: bound.right_at_least(similarity), answer, similarity };
            return Ok(match bound.decide(similarity, delta, draw) {
                Decision::Serve => Nearest::Give(Box::new(kept)),
                Decision::Ask => Nearest::Judge(Box::new(kept)),
            });
        }
        Ok(Nearest::Nothing)
    }

    /// Notes whether a kept answer was right for a near question.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn judge_answer(
        &self,
        team: TeamId,
        id: AnswerId,
        similarity: f32,
        right: bool,
    ) -> Result<bool, Error> {
        Ok(self.tenant(team)?.observe_answer(id, similarity, right)?)
    }

    /// How many near questions an answer was compared for, how often it was right, and how
    /// often it is at least, for questions as similar as those.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn judged(&self, reader: &Reader, id: AnswerId, now: Micros) -> Result<(u32, u32, f64), Error> {
        let observed = self.tenant(reader.team())?.observations(reader, id, now)?;
        let mut bound = Bound::new();
        observed.iter().for_each(|(similarity, right)| bound.observe(*similarity, *right));
        let right = observed.iter().filter(|(_, right)| *right).count() as u32;
        let highest = observed.iter().map(|(similarity, _)| *similarity).fold(0.0, f32::max);
        Ok((observed.len() as u32, right, bound.right_at_least(highest)))
    }
}

#[cfg(test)]
mod tests;
