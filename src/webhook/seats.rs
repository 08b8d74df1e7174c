//! Selects which connections stay when the limit is reached: those whose request is being processed, then the newest.
//! Independent of TLS and HTTP; only knows which side is waited for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// The phase of a connection. In all but the last the operator waits for the peer, so the connection may be evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The first message of the handshake.
    Greeting,
    /// The rest of the handshake, and the first request to the last byte of its body.
    Asking,
    /// The next request.
    Kept,
    /// The operator: the request was received completely.
    Answering,
}

impl Phase {
    /// The phases that can be evicted; of two with equally many connections, the later in this list loses one.
    const WAITING: [Self; 3] = [Self::Kept, Self::Asking, Self::Greeting];
}

/// Maximum number of evicted connections that are not closed yet, per slot. Closing one needs a turn of a thread, so
/// some accumulate when many connections arrive at once; the limit is for an overloaded machine.
const LEAVING: usize = 4;

/// The connection slots of one listener.
///
/// If all are taken, a new connection evicts the connection that has waited longest in the phase with the most
/// connections. Slow peers therefore displace each other, whichever phase they are slow in; a well-behaved
/// connection is only evicted if a third of all slots were reassigned during one of its steps.
#[derive(Debug)]
pub(crate) struct Seats {
    limit: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    connections: BTreeMap<u64, Connection>,
    /// Evicted connections that are not closed yet.
    leaving: usize,
    /// A logical clock that orders all events.
    clock: u64,
}

#[derive(Debug)]
struct Connection {
    phase: Phase,
    /// The time at which it entered this phase.
    since: u64,
    /// Dropped with the slot, which notifies the connection.
    _hold: oneshot::Sender<()>,
}

/// A connection slot; released when its last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Seat(Arc<Place>);

#[derive(Debug)]
struct Place {
    seats: Arc<Seats>,
    number: u64,
}

/// An acquired slot.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) seat: Seat,
    /// Completes when the slot was given to another connection.
    pub(crate) given_up: oneshot::Receiver<()>,
    /// True if another connection was evicted.
    pub(crate) displaced: bool,
}

impl Seats {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, taken: Mutex::default() })
    }

    /// Acquires a slot for a new connection; `None` if every other connection is processing a request, or if
    /// [`LEAVING`] evicted connections per slot are not closed yet.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Found> {
        let (hold, given_up) = oneshot::channel();
        let mut taken = self.lock();
        let displaced = taken.connections.len() >= self.limit;
        if displaced {
            (taken.leaving < self.limit.saturating_mul(LEAVING)).then(|| taken.give_one_up()).flatten()?;
        }
        let number = taken.tick();
        taken.connections.insert(number, Connection { phase: Phase::Greeting, since: number, _hold: hold });
        drop(taken);
        Some(Found { seat: Seat(Arc::new(Place { seats: Arc::clone(self), number })), given_up, displaced })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn give_one_up(&mut self) -> Option<()> {
        let of = |phase| self.connections.iter().filter(move |(_, connection)| connection.phase == phase);
        let fullest = Phase::WAITING.into_iter().max_by_key(|phase| of(*phase).count())?;
        let (number, _) = of(fullest).min_by_key(|(_, connection)| connection.since)?;
        let number = *number;
        self.connections.remove(&number);
        self.leaving += 1;
        Some(())
    }
}

impl Seat {
    /// The connection enters another phase. Staying in a phase does not restart its waiting time.
    pub(crate) fn enters(&self, phase: Phase) {
        let mut taken = self.0.seats.lock();
        let now = taken.tick();
        if let Some(connection) = taken.connections.get_mut(&self.0.number)
            && connection.phase != phase
        {
            (connection.phase, connection.since) = (phase, now);
        }
    }

    /// Holds the slot until the returned value is dropped; the connection is idle afterwards.
    pub(crate) fn answering(self) -> Answering {
        self.enters(Phase::Answering);
        Answering(self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        if taken.connections.remove(&self.number).is_none() {
            taken.leaving -= 1;
        }
    }
}

/// A connection that is processing a request.
#[derive(Debug)]
pub(crate) struct Answering(Seat);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.enters(Phase::Kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(seats: &Arc<Seats>, phase: Phase) -> Found {
        let found = seats.take().expect("a seat");
        found.seat.enters(phase);
        found
    }

    fn is_given_up(found: &mut Found) -> bool {
        found.given_up.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    fn given_up(found: &mut [Found]) -> Vec<bool> {
        found.iter_mut().map(is_given_up).collect()
    }

    #[test]
    fn of_the_fullest_phase_the_one_that_waits_longest_gives_its_seat() {
        let seats = Seats::new(5);
        let phases = [Phase::Kept, Phase::Asking, Phase::Asking, Phase::Greeting, Phase::Kept];
        let mut found: Vec<Found> = phases.iter().map(|phase| take(&seats, *phase)).collect();
        assert!(found.iter().all(|found| !found.displaced));
        // Of phases with as many, the earlier step gives; a newcomer is in the earliest.
        found.push(take(&seats, Phase::Greeting));
        assert_eq!(given_up(&mut found), [false, true, false, false, false, false]);
        found.push(take(&seats, Phase::Greeting));
        assert_eq!(given_up(&mut found), [false, true, false, true, false, false, false]);
        assert!(found[6].displaced);
    }

    #[test]
    fn who_was_answered_last_goes_last() {
        let seats = Seats::new(2);
        let mut found = [take(&seats, Phase::Kept), take(&seats, Phase::Kept)];
        drop(found[0].seat.clone().answering());
        found[1].seat.enters(Phase::Kept);
        take(&seats, Phase::Greeting);
        assert_eq!(given_up(&mut found), [false, true]);
    }

    #[test]
    fn who_is_being_answered_stays_and_a_newcomer_is_refused_when_all_are() {
        let seats = Seats::new(2);
        let mut found = [take(&seats, Phase::Kept), take(&seats, Phase::Greeting)];
        let answering = found.each_ref().map(|found| found.seat.clone().answering());
        assert!(seats.take().is_none());
        assert_eq!(given_up(&mut found), [false, false]);
        drop(answering);
        assert!(seats.take().is_some());
        assert_eq!(given_up(&mut found), [true, false]);
    }

    #[test]
    fn a_seat_comes_back_and_those_not_closed_yet_are_bounded() {
        let seats = Seats::new(1);
        let mut found: Vec<Found> = (0..=LEAVING).map(|_| take(&seats, Phase::Greeting)).collect();
        assert_eq!(given_up(&mut found), [true, true, true, true, false]);
        assert!(seats.take().is_none(), "one is seated and four have yet to close");
        found.remove(0);
        assert!(seats.take().is_some_and(|found| found.displaced));
        found.clear();
        assert!(seats.take().is_some_and(|found| !found.displaced));
    }
}
