//! Objects that JavaScript names by number.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::arguments;
use crate::failure::Failure;

/// The most entries of one table.
pub(crate) const MAX_ENTRIES: usize = 65_536;

/// Numbers that stand for `T`s. A number is used again only after 2³² others, so that a stale one finds nothing.
pub(crate) struct Table<T> {
    /// What an entry is, for messages.
    what: &'static str,
    entries: Mutex<Entries<T>>,
}

struct Entries<T> {
    last: u32,
    /// Bounded by [`MAX_ENTRIES`].
    by_number: HashMap<u32, Arc<T>>,
}

impl<T> Table<T> {
    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            what,
            entries: Mutex::new(Entries {
                last: 0,
                by_number: HashMap::new(),
            }),
        }
    }

    /// Keeps `entry` and answers its number.
    pub(crate) fn insert(&self, entry: T) -> Result<u32, Failure> {
        let mut entries = self.entries.lock();
        if entries.by_number.len() >= MAX_ENTRIES {
            let message = format!("{MAX_ENTRIES} of {} are open already", self.what);
            return Err(Failure::new("LIMIT_EXCEEDED", message));
        }
        loop {
            entries.last = entries.last.wrapping_add(1);
            let number = entries.last;
            if number != 0 && !entries.by_number.contains_key(&number) {
                entries.by_number.insert(number, Arc::new(entry));
                return Ok(number);
            }
        }
    }

    /// The entry of a number.
    pub(crate) fn get(&self, number: f64) -> Result<Arc<T>, Failure> {
        let number = arguments::job(number)?;
        let found = self.entries.lock().by_number.get(&number).cloned();
        found.ok_or_else(|| Failure::new("CLOSED", format!("{} is closed", self.what)))
    }

    /// Forgets a number; a user that still holds the entry keeps it alive until then.
    pub(crate) fn remove(&self, number: f64) -> Result<(), Failure> {
        let number = arguments::job(number)?;
        let removed = self.entries.lock().by_number.remove(&number);
        drop(removed);
        Ok(())
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.lock().by_number.len()
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        let removed = std::mem::take(&mut self.entries.lock().by_number);
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_finds_its_entry_until_it_is_removed() {
        let table = Table::new("a thing");
        let first = f64::from(table.insert("first").unwrap());
        let second = f64::from(table.insert("second").unwrap());

        table.remove(first).unwrap();

        assert_eq!(
            table.get(first).unwrap_err().to_string(),
            "CLOSED: a thing is closed"
        );
        assert_eq!(*table.get(second).unwrap(), "second");
        let third = f64::from(table.insert("third").unwrap());
        assert!(third > second, "a number is not used again");
    }

    #[test]
    fn the_entry_over_the_limit_is_refused() {
        let table = Table::new("a thing");
        for _ in 0..MAX_ENTRIES {
            table.insert(()).unwrap();
        }

        let refused = table.insert(()).unwrap_err();
        assert!(refused.to_string().starts_with("LIMIT_EXCEEDED: "));

        table.remove(1.0).unwrap();
        assert!(table.insert(()).is_ok());
    }

    #[test]
    fn what_is_no_number_of_an_entry_is_refused() {
        let table: Table<()> = Table::new("a thing");
        for odd in [f64::NAN, -1.0, 0.5, 4_294_967_296.0, f64::INFINITY] {
            assert!(
                table
                    .get(odd)
                    .unwrap_err()
                    .to_string()
                    .starts_with("INVALID_ARGUMENT: "),
                "{odd}"
            );
        }
    }
}
