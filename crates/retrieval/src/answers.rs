//! Answers that are kept: given again to a reader who may read all that they were
//! made from, and gone with any of it.

use store::documents::{Answer, NewAnswer, Reader};
use units::{AnswerId, Micros, TeamId};

use crate::{Collections, Error};

impl Collections {
    /// The answer to this very question, if the reader may be given it (TRAPS R5).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn answer(
        &self,
        reader: &Reader,
        partition: &[u8; 32],
        key: &[u8; 32],
        now: Micros,
    ) -> Result<Option<Answer>, Error> {
        Ok(self.tenant(reader.team())?.answer(reader, partition, key, now)?)
    }

    /// One by its id: `None` also when the reader may not be given it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn answer_by_id(&self, reader: &Reader, id: AnswerId, now: Micros) -> Result<Option<Answer>, Error> {
        Ok(self.tenant(reader.team())?.answer_by_id(reader, id, now)?)
    }

    /// Keeps an answer, and lets go of those whose time is over. `false`: a document has
    /// changed since, and nothing is kept.
    ///
    /// # Errors
    /// [`store::Error::Invalid`] beyond a bound.
    pub fn keep_answer(&self, team: TeamId, answer: NewAnswer) -> Result<bool, Error> {
        let tenant = self.tenant(team)?;
        tenant.expire_answers(answer.created)?;
        Ok(tenant.keep_answer(answer)?)
    }

    /// Takes one back. `false` when there was none.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn revoke_answer(&self, team: TeamId, id: AnswerId) -> Result<bool, Error> {
        Ok(self.tenant(team)?.revoke_answer(id)?)
    }
}
