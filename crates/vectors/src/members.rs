//! Which positions belong to which class, so that counting and finding what a
//! reader may read costs by what that is, and not by what there is: 8 bytes a
//! vector, where a pass over the classes of a million took a millisecond a search.

use std::collections::BTreeMap;
use std::ops::Range;

use store::documents::{AclClass, Classes};

/// The class of a position whose vector was removed: it is in no list.
pub(crate) const GONE: u32 = u32::MAX;

/// The class of each position, and the positions of each class.
#[derive(Default)]
pub(crate) struct Members {
    classes: Vec<u32>,
    /// By position: its place in the list of its class.
    places: Vec<u32>,
    /// In no order. A class without a position has no list.
    lists: BTreeMap<u32, Vec<u32>>,
}

impl Members {
    pub fn from_classes(classes: Vec<u32>) -> Members {
        let mut lists: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let mut places = Vec::with_capacity(classes.len());
        for (position, class) in (0u32..).zip(&classes) {
            if *class == GONE {
                places.push(0);
                continue;
            }
            let list = lists.entry(*class).or_default();
            places.push(list.len() as u32);
            list.push(position);
        }
        Members { classes, places, lists }
    }
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }
    /// Takes the position behind the last.
    pub fn push(&mut self, class: u32) {
        let position = self.classes.len() as u32;
        self.classes.push(class);
        self.places.push(0);
        self.enter(position, class);
    }
    pub fn set(&mut self, position: u32, class: u32) {
        self.leave(position);
        self.classes[position as usize] = class;
        self.enter(position, class);
    }
    /// Takes a position out of its class; it stands for nothing from now on.
    pub fn remove(&mut self, position: u32) {
        self.leave(position);
        self.classes[position as usize] = GONE;
    }
    /// Takes a position out; the last one takes its place.
    pub fn swap_remove(&mut self, position: u32) {
        self.leave(position);
        let last = self.classes.len() as u32 - 1;
        if position != last {
            let list = self.lists.get_mut(&self.classes[last as usize]).expect("it has a position");
            list[self.places[last as usize] as usize] = position;
        }
        self.classes.swap_remove(position as usize);
        self.places.swap_remove(position as usize);
    }
    pub fn count(&self, allowed: &Classes) -> usize {
        self.lists_of(allowed).map(Vec::len).sum()
    }
    /// In no order.
    pub fn positions(&self, allowed: &Classes) -> Vec<u32> {
        self.lists_of(allowed).flatten().copied().collect()
    }
    /// By position of a range, whether it is allowed; classes without a position in it are `left` out.
    pub fn mask(&self, allowed: &Classes, range: Range<usize>, left: impl Fn(u32) -> bool) -> Vec<bool> {
        let mut mask = vec![false; range.len()];
        let lists = self.lists.iter().filter(|(class, _)| allowed.has(AclClass(**class)) && !left(**class));
        for position in lists.flat_map(|(_, list)| list).map(|position| *position as usize) {
            if range.contains(&position) {
                mask[position - range.start] = true;
            }
        }
        mask
    }

    fn lists_of(&self, allowed: &Classes) -> impl Iterator<Item = &Vec<u32>> {
        self.lists.iter().filter(|(class, _)| allowed.has(AclClass(**class))).map(|(_, list)| list)
    }
    fn enter(&mut self, position: u32, class: u32) {
        let list = self.lists.entry(class).or_default();
        self.places[position as usize] = list.len() as u32;
        list.push(position);
    }
    fn leave(&mut self, position: u32) {
        let class = self.classes[position as usize];
        let list = self.lists.get_mut(&class).expect("it has a position");
        let at = self.places[position as usize];
        list.swap_remove(at as usize);
        match list.get(at as usize) {
            Some(moved) => self.places[*moved as usize] = at,
            None if list.is_empty() => drop(self.lists.remove(&class)),
            None => {}
        }
    }
}
