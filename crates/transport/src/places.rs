//! The handshakes that peers have begun and not ended: so many at once. When every place is taken, the host that
//! takes most of them gives way to others; and among equals the oldest to the newest, once it has had its time.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::address_rate::network;

/// Handshakes of hosts that take no more places than others are safe for this long. It bounds what a host with many
/// addresses can make this node compute: 1,024 handshakes a second.
const SAFE_TIME: Duration = Duration::from_secs(2);

/// How many are under way, and whose.
#[derive(Default)]
pub(crate) struct Places {
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    /// In the order in which they began; bounded by the limit that [`Places::take`] is called with.
    handshakes: BTreeMap<u64, Handshake>,
    /// How many of them each host has.
    hosts: HashMap<u128, usize>,
    next_number: u64,
}

struct Handshake {
    host: u128,
    since: Instant,
    /// Of the task that answers it, once there is one.
    task: Option<AbortHandle>,
}

/// A place, given back when it is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
}

/// What [`Places::take`] found.
pub(crate) enum Taking {
    /// One of them was free.
    Free(Place),
    /// Another handshake was ended for it.
    InsteadOf(Place),
    /// All are taken by others with the same right to them.
    Full,
}

impl Places {
    pub(crate) fn len(&self) -> usize {
        self.taken.lock().handshakes.len()
    }

    /// Takes one of `most` places for a handshake with `address`, which proved that it is no forgery if it is to take
    /// somebody else's.
    pub(crate) fn take(
        self: &Arc<Self>,
        most: usize,
        address: IpAddr,
        is_proved: bool,
        now: Instant,
    ) -> Taking {
        let host = network(address);
        let mut taken = self.taken.lock();
        let is_full = taken.handshakes.len() >= most;
        if is_full {
            let victim = taken.victim(host, now).filter(|_| is_proved);
            let Some(victim) = victim.and_then(|number| taken.remove(number)) else {
                return Taking::Full;
            };
            if let Some(task) = victim.task {
                task.abort();
            }
        }
        let number = taken.next_number;
        taken.next_number += 1;
        *taken.hosts.entry(host).or_default() += 1;
        let handshake = Handshake {
            host,
            since: now,
            task: None,
        };
        taken.handshakes.insert(number, handshake);
        let place = Place {
            places: self.clone(),
            number,
        };
        if is_full {
            Taking::InsteadOf(place)
        } else {
            Taking::Free(place)
        }
    }

    /// Tells whom to end when the place is needed for another.
    pub(crate) fn occupy(&self, number: u64, task: AbortHandle) {
        if let Some(handshake) = self.taken.lock().handshakes.get_mut(&number) {
            handshake.task = Some(task);
        }
    }
}

impl Taken {
    /// The handshake that gives way to one of `host`.
    fn victim(&self, host: u128, now: Instant) -> Option<u64> {
        let own = self.hosts.get(&host).copied().unwrap_or_default();
        let (largest, count) = self.hosts.iter().max_by_key(|(_, count)| **count)?;
        if *count > own + 1 {
            let oldest = self
                .handshakes
                .iter()
                .find(|(_, handshake)| handshake.host == *largest);
            return oldest.map(|(number, _)| *number);
        }
        let (number, oldest) = self.handshakes.first_key_value()?;
        (now.saturating_duration_since(oldest.since) >= SAFE_TIME).then_some(*number)
    }

    fn remove(&mut self, number: u64) -> Option<Handshake> {
        let handshake = self.handshakes.remove(&number)?;
        if let Some(count) = self.hosts.get_mut(&handshake.host) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&handshake.host);
            }
        }
        Some(handshake)
    }
}

impl Place {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 10;

    #[test]
    fn there_are_so_many_places_and_not_one_more_until_one_is_given_back() {
        let (places, now) = start();
        let mut taken: Vec<Place> = (0..10).map(|host| free(&places, host, now)).collect();
        assert_eq!(places.len(), MOST);
        assert!(matches!(take(&places, 200, true, now), Taking::Full));
        taken.pop();
        taken.push(free(&places, 200, now));
        drop(taken);
        assert_eq!((places.len(), places.taken.lock().hosts.len()), (0, 0));
    }

    #[test]
    fn who_takes_most_gives_way_until_all_have_as_much() {
        let (places, now) = start();
        let greedy: Vec<Place> = (0..10).map(|_| free(&places, 1, now)).collect();
        let mut others = Vec::new();
        while let Taking::InsteadOf(place) = take(&places, 2, true, now) {
            others.push(place);
        }
        assert_eq!((others.len(), places.len()), (5, MOST));
        // The oldest went; whoever answered them tells that it has ended, which changes nothing.
        let alive: Vec<u64> = places.taken.lock().handshakes.keys().copied().collect();
        assert_eq!(alive, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
        drop(greedy);
        assert_eq!(places.len(), 5);
    }

    #[test]
    fn among_equals_the_oldest_gives_way_when_it_has_had_its_time() {
        let (places, now) = start();
        let _greedy: Vec<Place> = (0..10).map(|_| free(&places, 1, now)).collect();
        let almost = now + SAFE_TIME * 9 / 10;
        assert!(matches!(take(&places, 1, true, almost), Taking::Full));
        let place = take(&places, 1, true, now + SAFE_TIME);
        assert!(matches!(place, Taking::InsteadOf(_)));
        assert!(!places.taken.lock().handshakes.contains_key(&0));
    }

    #[test]
    fn who_may_be_a_forger_takes_nobodys_place() {
        let (places, now) = start();
        let _greedy: Vec<Place> = (0..10).map(|_| free(&places, 1, now)).collect();
        assert!(matches!(
            take(&places, 2, false, now + 60 * SAFE_TIME),
            Taking::Full
        ));
    }

    #[tokio::test]
    async fn a_handshake_that_gives_way_is_ended() {
        let (places, now) = start();
        let mut tasks = Vec::new();
        for _ in 0..10 {
            let place = free(&places, 1, now);
            let number = place.number();
            let task = tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop(place);
            });
            places.occupy(number, task.abort_handle());
            tasks.push(task);
        }
        let _taken = take(&places, 2, true, now);
        assert!(tasks.remove(0).await.unwrap_err().is_cancelled());
        assert_eq!(places.len(), MOST);
        assert!(!tasks[0].is_finished());
    }

    fn start() -> (Arc<Places>, Instant) {
        (Arc::default(), Instant::now())
    }

    fn take(places: &Arc<Places>, host: u8, is_proved: bool, now: Instant) -> Taking {
        places.take(MOST, [10, 0, 0, host].into(), is_proved, now)
    }

    fn free(places: &Arc<Places>, host: u8, now: Instant) -> Place {
        match take(places, host, false, now) {
            Taking::Free(place) => place,
            _ => panic!("no place is free"),
        }
    }
}
