//! Where each id is: binary search in a list of (id, position), 12 bytes a vector,
//! where a hash map takes up to 37.

/// A position that stands for none: the id's vector was removed.
const NOWHERE: u32 = u32::MAX;

/// Sorted by id.
#[derive(Default)]
pub(crate) struct Places {
    ids: Vec<u64>,
    positions: Vec<u32>,
    /// How many of them are nowhere.
    gone: usize,
}

impl Places {
    /// Of ids by position; `None` when one stands twice.
    pub fn of(by_position: &[u64]) -> Option<Places> {
        let mut positions: Vec<u32> = (0..u32::try_from(by_position.len()).ok()?).collect();
        positions.sort_unstable_by_key(|position| by_position[*position as usize]);
        let ids: Vec<u64> = positions.iter().map(|position| by_position[*position as usize]).collect();
        let sound = ids.windows(2).all(|pair| pair[0] != pair[1]);
        sound.then_some(Places { ids, positions, gone: 0 })
    }
    pub fn len(&self) -> usize {
        self.ids.len()
    }
    pub fn get(&self, id: u64) -> Option<u32> {
        let at = self.ids.binary_search(&id).ok()?;
        Some(self.positions[at]).filter(|position| *position != NOWHERE)
    }
    pub fn set(&mut self, id: u64, position: u32) {
        match self.ids.binary_search(&id) {
            Ok(at) => {
                self.gone -= usize::from(self.positions[at] == NOWHERE);
                self.positions[at] = position;
            }
            // At the end, unless a chunk is released from quarantine.
            Err(at) => {
                self.ids.insert(at, id);
                self.positions.insert(at, position);
            }
        }
    }
    pub fn forget(&mut self, id: u64) {
        if let Ok(at) = self.ids.binary_search(&id)
            && self.positions[at] != NOWHERE
        {
            self.positions[at] = NOWHERE;
            self.gone += 1;
        }
    }
    /// In the order of the ids.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        let all = self.ids.iter().copied().zip(self.positions.iter().copied());
        all.filter(|(_, position)| *position != NOWHERE)
    }
    /// Forgets the ids that are nowhere for good, once they are many.
    pub fn tidy(&mut self) {
        if self.gone < 1_024 || self.gone < self.ids.len() / 4 {
            return;
        }
        let (ids, positions) = self.iter().unzip();
        *self = Places { ids, positions, gone: 0 };
    }
}
