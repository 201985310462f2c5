//! The databases that a transaction has exchanged.

/// For each database the number it had when the transaction began. Writes are kept under
/// those numbers, so that a swap moves none of them.
#[derive(Debug, Default, Clone)]
pub(super) struct Homes(Vec<u8>);

impl Homes {
    /// Whether every database is where it was.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number that a database had at the beginning.
    #[inline]
    pub(super) fn of(&self, database: u8) -> u8 {
        self.0.get(usize::from(database)).copied().unwrap_or(database)
    }

    /// Exchanges two databases.
    pub(super) fn swap(&mut self, one: u8, other: u8) {
        if self.0.is_empty() {
            self.0 = (0..=u8::MAX).collect();
        }
        self.0.swap(usize::from(one), usize::from(other));
        if self.0.iter().copied().eq(0..=u8::MAX) {
            self.0 = Vec::new();
        }
    }

    /// The fewest swaps that, one after the other, lead from the beginning to here.
    pub(super) fn swaps(&self) -> Vec<(u8, u8)> {
        let mut reached: Vec<u8> = (0..=u8::MAX).take(self.0.len()).collect();
        let mut swaps = Vec::new();
        for (at, home) in self.0.iter().enumerate() {
            let from = reached.iter().position(|reached| reached == home);
            if let Some(from) = from.filter(|from| *from != at) {
                reached.swap(at, from);
                swaps.push((at as u8, from as u8));
            }
        }
        swaps
    }
}

#[cfg(test)]
mod tests {
    use super::Homes;

    #[test]
    fn swaps_lead_to_the_same_place_and_back() {
        let mut homes = Homes::default();
        assert_eq!(homes.swaps(), []);
        for (one, other) in [(0, 1), (1, 2), (5, 255), (0, 2), (3, 3), (255, 4)] {
            homes.swap(one, other);
            let mut again = Homes::default();
            for (one, other) in homes.swaps() {
                again.swap(one, other);
            }
            assert_eq!(again.0, homes.0);
        }
        // 0 and 1 are where they were, 2 as well; 4, 5 and 255 went round.
        assert_eq!([0, 1, 2, 4, 5, 255].map(|at| homes.of(at)), [0, 2, 1, 5, 255, 4]);
        assert_eq!(homes.swaps().len(), 3);
        for (one, other) in homes.swaps().into_iter().rev() {
            homes.swap(one, other);
        }
        assert!(homes.is_empty());
    }
}
