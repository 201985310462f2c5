//! The logs of this node, one after the other: how they begin, and how they end.
//!
//! A log is closed so that it can be compacted, and another begun. The next one is there before:
//! its entry, and on a shared store the view that names it, are three round trips that no commit
//! waits for. Then no group departs until all that is under way has landed and the seal stands
//! behind it.
//!
//! ```text
//!   old log    group   group   group   seal
//!   next log     entry   view               group   group
//! ```
//! - The entry comes first: whoever takes the store over from then on draws a larger id, and so
//!   closes both logs.
//! - The first group of the next log comes behind the seal: it says where the old log ended, and a
//!   start that found it alone would take what is missing before that for lost.
//! - A log that was begun and never used is empty, and counts for nothing.

use super::core::{Core, Health};
use super::recovery::OpenError;
use super::{Engine, Stopped, flusher};
use crate::layout::{Header, Kind, NodeId, ObjectName, Start};
use crate::storage::StoreError;
use crate::storage::resilient::Decided;
use bytes::Bytes;

/// Begins further logs, whenever one is wanted.
pub(super) async fn run(engine: &Engine) -> Stopped {
    loop {
        while !engine.with_core(|core| core.next_log_is_wanted()) {
            engine.next_log_wanted.notified().await;
        }
        let node = engine.with_core(|core| core.node());
        match engine.begin_log(node).await {
            Ok(next) => engine.with_core(|core| core.next_log_is_there(next)),
            Err(error) => return flusher::fence(engine, error.to_string()),
        }
        engine.next_log_begun.notify_one();
    }
}

impl Engine {
    /// Asks for another log, if somebody wants one.
    pub(super) fn ask_for_next_log(&self) {
        self.next_log_wanted.notify_one();
    }

    /// Another log to go on in. Should none come to be the engine stops.
    pub(super) async fn next_log(&self) -> NodeId {
        loop {
            if let Some(next) = self.with_core(|core| core.next_log()) {
                return next;
            }
            self.with_core(|core| core.want_next_log());
            self.ask_for_next_log();
            self.next_log_begun.notified().await;
        }
    }

    /// A log of our own, behind that of `node`. Whoever owns the store after us counts it.
    async fn begin_log(&self, node: NodeId) -> Result<NodeId, OpenError> {
        let next = self.create_node(node, self.start.get().copied().unwrap_or_default()).await?;
        self.renew(next).await?;
        Ok(next)
    }

    /// Seals this node's log after [`Engine::drain`], so that the next start knows its end
    /// without asking. Not needed for safety: the next start would do it.
    pub async fn seal(&self) {
        if !self.logged {
            return;
        }
        let Some(mut seal) = self.with_core(|core| {
            let serving = *core.health() == Health::Serving;
            (serving && core.is_drained()).then(|| {
                core.close();
                self.own_seal(core, core.next_seq())
            })
        }) else {
            return;
        };
        let (node, seq) = (seal.node, seal.number);
        let name = ObjectName::Log(node, seq).to_string();
        // Everything is: should any of it be missing at the next start, it is lost.
        seal.acked_through = seq - 1;
        // They end with the process.
        seal.oldest_snapshot = 0;
        let sealing = self.create_marker(&name, seal);
        let decided = match &self.ownership {
            None => sealing.await,
            Some(ownership) => {
                // Who was left behind must not read what may be old from now on.
                self.with_core(|core| core.fence("it has handed the store over".to_owned()));
                // Whoever is faster than the seal puts one there.
                tokio::join!(sealing, ownership.release(self, node)).0
            }
        };
        tracing::debug!(%name, ?decided, "sealed the log");
    }

    /// What ends this node's log, but not the node.
    pub(super) fn own_seal(&self, core: &Core, seq: u64) -> Header {
        let mut seal = Header::new(Kind::Seal, self.nonce(), core.node(), seq);
        (seal.now_through_ms, seal.base) = (core.now_ms(), core.base());
        seal.oldest_snapshot = core.oldest_snapshot();
        seal
    }

    /// Creates an object that is a header and nothing else.
    pub(super) async fn create_marker(&self, name: &str, mut header: Header) -> Decided {
        let nonce = header.nonce;
        header.wall_ms = self.clock.wall_ms();
        let mut object = Vec::new();
        header.encode(&mut object);
        self.store.create(name, Bytes::from(object), nonce).await
    }

    /// Begins a new node: an id that no process start has had before, nor any log.
    pub(super) async fn create_node(
        &self,
        after: NodeId,
        start: Start,
    ) -> Result<NodeId, StoreError> {
        let mut node = after;
        loop {
            node = node.checked_add(1).ok_or_else(|| {
                StoreError::Fatal("no node ids are left in this store".to_owned())
            })?;
            let name = ObjectName::Node(node).to_string();
            let marker = Header::of_entry(self.nonce(), node, start);
            match self.create_marker(&name, marker).await {
                Decided::Ours => return Ok(node),
                Decided::Theirs(_) => {}
                Decided::Rejected(why) | Decided::Fatal(why) => return Err(StoreError::Fatal(why)),
            }
        }
    }
}
