//! Plates that never make a hit, whatever list names them or what they look like: an operator's own vehicles, plates that
//! alert again and again for nothing.
//!
//! Exactly the text that was read counts, nothing near it: a list entry must not hide behind a look-alike. Such reads are
//! stored like any read without a hit.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use super::Hotlists;
use crate::domain::PlateText;

impl Hotlists {
    /// Puts another ignore list in force.
    pub fn set_ignored(&self, plates: BTreeSet<PlateText>) {
        *self.ignored.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(plates);
    }

    /// The ignore list in force.
    #[must_use]
    pub fn ignored(&self) -> Arc<BTreeSet<PlateText>> {
        Arc::clone(&self.ignored.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether reads of this plate make no hit.
    #[must_use]
    pub fn ignores(&self, plate: &PlateText) -> bool {
        self.ignored.read().unwrap_or_else(PoisonError::into_inner).contains(plate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_plates_of_the_list_in_force_are_ignored() {
        let plate = |text| PlateText::from_raw(text).unwrap();
        let lists = Hotlists::new();
        assert!(!lists.ignores(&plate("AB123CD")));
        lists.set_ignored([plate("AB123CD")].into());
        assert!(lists.ignores(&plate("AB123CD")) && !lists.ignores(&plate("A8123CD")));
        lists.set_ignored(BTreeSet::new());
        assert!(!lists.ignores(&plate("AB123CD")));
    }
}
