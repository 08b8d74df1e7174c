//! Limits the memory of request bodies. If it is exhausted, the oldest incomplete body is dropped: a body that is sent
//! at the speed of the network is complete by then, so that slow senders only displace each other. Independent of the
//! contents of a body.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError, oneshot};

/// The memory of one server.
#[derive(Debug)]
pub(super) struct Bodies {
    /// Counts bytes, not bodies, and only those that have arrived: a slow sender must not take an honest one's turn.
    memory: Semaphore,
    arriving: Mutex<Arriving>,
}

#[derive(Debug, Default)]
struct Arriving {
    begun: u64,
    /// The incomplete bodies, the oldest first.
    bodies: BTreeMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    bytes: usize,
    /// Dropped on eviction, which notifies the reader.
    _stays: oneshot::Sender<()>,
}

/// An incomplete body, with the memory for the received bytes.
#[derive(Debug)]
pub(super) struct Body<'a> {
    bodies: &'a Bodies,
    number: u64,
    memory: Option<SemaphorePermit<'a>>,
    /// Ends when it has to give way.
    pub(super) gives_way: oneshot::Receiver<()>,
}

impl Bodies {
    pub(super) fn new(bytes: usize) -> Self {
        Self { memory: Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)), arriving: Mutex::default() }
    }

    /// A body of which nothing has arrived yet.
    pub(super) fn begin(&self) -> Body<'_> {
        let (stays, gives_way) = oneshot::channel();
        let mut arriving = self.arriving();
        arriving.begun += 1;
        let number = arriving.begun;
        arriving.bodies.insert(number, Held { bytes: 0, _stays: stays });
        Body { bodies: self, number, memory: None, gives_way }
    }

    fn arriving(&self) -> MutexGuard<'_, Arriving> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Evicts bodies that were begun before this one until they held this many bytes together; returns whether that was
    /// enough.
    fn reclaim(&self, number: u64, bytes: usize) -> bool {
        let mut arriving = self.arriving();
        let mut reclaimed = 0;
        while reclaimed < bytes {
            let older = arriving.bodies.range(..number).find(|(_, held)| held.bytes > 0);
            let Some(older) = older.map(|(older, _)| *older) else { return false };
            reclaimed += arriving.bodies.remove(&older).map_or(0, |held| held.bytes);
        }
        true
    }
}

impl<'a> Body<'a> {
    /// Takes memory for what arrived, from bodies that have been on their way for longer if need be.
    pub(super) async fn take(&mut self, bytes: u32) -> Result<(), TryAcquireError> {
        let memory = match self.bodies.memory.try_acquire_many(bytes) {
            Ok(memory) => memory,
            Err(full) => {
                let needed = usize::try_from(bytes).unwrap_or(usize::MAX);
                if !self.bodies.reclaim(self.number, needed) {
                    return Err(full);
                }
                // It comes back as soon as their readers get a turn.
                self.bodies.memory.acquire_many(bytes).await.map_err(|_| TryAcquireError::Closed)?
            }
        };
        match &mut self.memory {
            Some(held) => held.merge(memory),
            none => *none = Some(memory),
        }
        if let Some(held) = self.bodies.arriving().bodies.get_mut(&self.number) {
            held.bytes = self.memory.as_ref().map_or(0, SemaphorePermit::num_permits);
        }
        Ok(())
    }

    /// The memory of a body that is complete, which no other takes from it.
    pub(super) fn complete(mut self) -> Option<SemaphorePermit<'a>> {
        self.memory.take()
    }
}

impl Drop for Body<'_> {
    fn drop(&mut self) {
        self.bodies.arriving().bodies.remove(&self.number);
    }
}
