//! Which logs there are, where each ends, and what of them a base has replaced.
//!
//! The newest log is looked at first. Behind its newest object nothing was ever
//! acknowledged once a seal stands there; so its newest header is the newest of all, and
//! names the newest base. That says what has been replaced: older logs need not be looked
//! at, nor are gaps in what was replaced losses. What came late behind an end that is recorded
//! is not believed: its node was dead, and others have decided without it.

use super::super::Engine;
use super::super::read::{Object, ReadAhead, read_object};
use super::{Ends, OpenError, in_time};
use crate::layout::group::checked_directory;
use crate::layout::{
    Checkpoint, Commit, Control, FormatError, Header, Kind, NodeId, ObjectName, Write,
};
use crate::storage::StoreError;
use crate::storage::resilient::Decided;
use std::collections::{BTreeMap, BTreeSet};

/// All that recovery needs to know before it reads.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The objects of each log that counts, as far as they are known.
    pub(super) logs: BTreeMap<NodeId, BTreeSet<u64>>,
    /// Ends of logs that earlier starts have recorded.
    pub(super) known_ends: Ends,
    pub(super) checkpoint: Checkpoint,
    /// What could not be read.
    pub(super) damages: Vec<String>,
}

/// A base: its node and number; `(0, 0)` is none.
type BaseName = (NodeId, u64);

/// What the newest objects of a log say.
#[derive(Debug, Default)]
struct Newest {
    /// The newest header that can be read.
    header: Option<Header>,
    /// The base that counts by the newest object that says so.
    base: Option<BaseName>,
}

/// The base that a header names. A seal that names none may be all there is of its log, or
/// stand behind headers that can't be read: it says nothing by itself.
fn said_by(header: &Header) -> Option<BaseName> {
    (header.kind == Kind::Group || header.base != BaseName::default()).then_some(header.base)
}

impl Survey {
    /// Looks at all logs before that of `own`, the newest node.
    pub(super) async fn of(
        engine: &Engine,
        own: NodeId,
        listed: BTreeMap<NodeId, BTreeSet<u64>>,
    ) -> Result<Self, OpenError> {
        let mut survey = Self { logs: listed, ..Self::default() };
        let mut checkpoint_known = false;
        for node in (1..own).rev() {
            if node < survey.checkpoint.trimmed.0 {
                break;
            }
            // What a predecessor has replaced he may be deleting just now.
            survey.set_replaced_aside(node);
            let base = survey.find_end(engine, node).await?;
            if !checkpoint_known && let Some(base) = base {
                checkpoint_known = true;
                survey.read_checkpoint(engine, base).await?;
            }
            survey.set_replaced_aside(node);
            survey.learn_ends(engine, node).await?;
        }
        let before: Vec<NodeId> =
            survey.logs.range(..survey.checkpoint.trimmed.0).map(|(node, _)| *node).collect();
        for node in before {
            survey.set_replaced_aside(node);
        }
        Ok(survey)
    }

    /// Puts a seal behind the newest object of a log, unless its end is known. Where that
    /// name is taken, the listing was late. The base that the log's newest header names, if
    /// it says anything of bases.
    ///
    /// A seal names the base that the header before it names: should only the seal be listed
    /// next time, nothing is missed.
    async fn find_end(
        &mut self,
        engine: &Engine,
        node: NodeId,
    ) -> Result<Option<BaseName>, OpenError> {
        // Listed or not: what has a recorded end is read up to that.
        self.logs.entry(node).or_default();
        let Newest { mut header, mut base } = self.newest_listed(engine, node).await?;
        if self.known_ends.contains_key(&node) {
            return Ok(base);
        }
        let (trimmed_node, through) = self.checkpoint.trimmed;
        let replaced = if node == trimmed_node { through } else { 0 };
        let seqs = self.logs.entry(node).or_default();
        loop {
            let last = seqs.last().copied().unwrap_or(replaced);
            let is_last = |header: &Header| header.kind == Kind::Seal && header.number == last;
            if header.as_ref().is_some_and(is_last) {
                return Ok(base);
            }
            let seq = last + 1;
            let name = ObjectName::Log(node, seq).to_string();
            let mut seal = Header::new(Kind::Seal, engine.nonce(), node, seq);
            seal.base = base.unwrap_or_default();
            let decided = in_time(engine, engine.create_marker(&name, seal)).await?;
            seqs.insert(seq);
            match decided {
                Decided::Ours => return Ok(base),
                Decided::Theirs(theirs) => {
                    base = said_by(&theirs).or(base);
                    header = Some(*theirs);
                }
                Decided::Rejected(why) | Decided::Fatal(why) => {
                    return Err(StoreError::Fatal(why).into());
                }
            }
        }
    }

    /// The newest listed objects of a log, back to one that names a base.
    async fn newest_listed(&self, engine: &Engine, node: NodeId) -> Result<Newest, OpenError> {
        // What came late, behind the seal at a recorded end, never counted: the base that it
        // names may have been deleted since.
        let last = self.known_ends.get(&node).map_or(u64::MAX, |end| end + 1);
        let seqs = self.logs.get(&node).into_iter().flat_map(|seqs| seqs.range(..=last).rev());
        let mut newest = Newest::default();
        let mut damaged = false;
        for &seq in seqs {
            match read_object(engine, ObjectName::Log(node, seq)).await {
                Ok(Object::Sound(header, _)) => {
                    newest.base = said_by(&header);
                    newest.header.get_or_insert(header);
                }
                // Listed and not there: a predecessor's delete came late.
                Ok(Object::Damaged(_)) | Err(OpenError::Store(StoreError::NotFound)) => {
                    damaged = true;
                }
                Err(error) => return Err(error),
            }
            if newest.base.is_some() {
                break;
            }
        }
        if damaged {
            // It may have named a newer base.
            let newer = newer_base(engine, newest.base.unwrap_or_default()).await?;
            newest.base = newer.map(|newer| newer.base).or(newest.base);
        } else if newest.header.as_ref().is_some_and(|header| header.number > 1) {
            // Of all its groups only the seal is listed, and that repeats what they name.
            newest.base = newest.base.or(Some(BaseName::default()));
        }
        Ok(newest)
    }

    async fn read_checkpoint(
        &mut self,
        engine: &Engine,
        base: (NodeId, u64),
    ) -> Result<(), OpenError> {
        if base == (0, 0) {
            return Ok(());
        }
        let name = ObjectName::Base(base.0, base.1);
        let why = match read_object(engine, name).await {
            Ok(Object::Sound(header, bytes)) if header.kind == Kind::Base => {
                match Checkpoint::said_in(base, &header, &bytes) {
                    Ok(Some(checkpoint)) => {
                        self.checkpoint = checkpoint;
                        return Ok(());
                    }
                    Ok(None) => FormatError::Field("controls of a base").to_string(),
                    Err(error) => error.to_string(),
                }
            }
            Ok(Object::Sound(..)) => FormatError::Field("kind").to_string(),
            Ok(Object::Damaged(error @ FormatError::Newer(_))) => {
                return Err(OpenError::Format { name: name.to_string(), error });
            }
            Ok(Object::Damaged(error)) => error.to_string(),
            Err(OpenError::Store(StoreError::NotFound)) => StoreError::NotFound.to_string(),
            Err(error) => return Err(error),
        };
        if let Some(newer) = newer_base(engine, base).await? {
            self.damages.push(format!("{name}: {why}: a newer base takes its place"));
            self.checkpoint = newer;
            return Ok(());
        }
        self.damages.push(format!(
            "{name}: {why}: what it says of other bases is taken from the log, swaps of databases in it are lost"
        ));
        self.search_checkpoint(engine, base).await
    }

    /// The words of a damaged base stand once more in the group that published it.
    async fn search_checkpoint(
        &mut self,
        engine: &Engine,
        base: (NodeId, u64),
    ) -> Result<(), OpenError> {
        let groups = self.logs.iter().flat_map(|(node, seqs)| {
            seqs.iter().map(|seq| ObjectName::Log(*node, *seq)).collect::<Vec<_>>()
        });
        let groups: Vec<ObjectName> = groups.collect();
        let mut objects = ReadAhead::new(engine, groups.into_iter());
        while let Some((_, object)) = objects.next().await? {
            if let Object::Sound(header, bytes) = object
                && header.kind == Kind::Group
                && header.base == base
                && let Ok(Some(found)) = Checkpoint::said_in(base, &header, &bytes)
            {
                self.checkpoint = found;
                return Ok(());
            }
        }
        // Nothing says what was replaced: all that is there is read.
        self.checkpoint.base = base;
        self.checkpoint.bases = vec![base];
        Ok(())
    }

    /// What of a log has been replaced counts no longer.
    fn set_replaced_aside(&mut self, node: NodeId) {
        let (trimmed_node, through) = self.checkpoint.trimmed;
        let Some(seqs) = self.logs.get_mut(&node) else {
            return;
        };
        let kept = match node {
            node if node > trimmed_node => return,
            node if node == trimmed_node => seqs.split_off(&(through + 1)),
            _ => BTreeSet::new(),
        };
        *seqs = kept;
        if node < trimmed_node {
            self.logs.remove(&node);
        }
    }

    /// The first group of a log tells where older logs end. It is there if anything of the
    /// log counts, listed or not.
    async fn learn_ends(&mut self, engine: &Engine, node: NodeId) -> Result<(), OpenError> {
        let replaced = self.checkpoint.trimmed >= (node, 1);
        let listed = self.logs.get(&node).is_some_and(|seqs| !seqs.is_empty());
        let recorded = self.known_ends.get(&node).is_some_and(|&end| end > 0);
        if replaced || !(listed || recorded) {
            return Ok(());
        }
        let name = ObjectName::Log(node, 1);
        let object = match read_object(engine, name).await {
            // Lost: that is told when it is its turn.
            Err(OpenError::Store(StoreError::NotFound)) => return Ok(()),
            object => object?,
        };
        match object {
            Object::Damaged(error @ FormatError::Newer(_)) => {
                Err(OpenError::Format { name: name.to_string(), error })
            }
            Object::Damaged(_) => Ok(()),
            Object::Sound(header, bytes) => {
                let known_ends = &mut self.known_ends;
                // What can't be read is told when it is its turn.
                let _ = for_each_commit(&header, &bytes, |commit| {
                    for write in &commit.writes {
                        if let Write::Control(Control::LogClosed { node, end }) = write {
                            known_ends.insert(*node, *end);
                        }
                    }
                });
                Ok(())
            }
        }
    }
}

/// Where the newest header is damaged, the one before may name a base that has been replaced
/// since. A newer one that no header names is as good: all that is alive in what it replaces
/// is in it, and what it says of others was true when it was written.
async fn newer_base(engine: &Engine, base: (NodeId, u64)) -> Result<Option<Checkpoint>, OpenError> {
    for listed in engine.store.list(ObjectName::BASES).await?.iter().rev() {
        let Ok(name @ ObjectName::Base(node, number)) = listed.parse() else {
            continue;
        };
        if (node, number) <= base {
            break;
        }
        if let Object::Sound(header, bytes) = read_object(engine, name).await?
            && let Ok(Some(found)) = Checkpoint::said_in((node, number), &header, &bytes)
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn for_each_commit(
    header: &Header,
    bytes: &[u8],
    mut each: impl FnMut(&Commit<'_>),
) -> Result<(), FormatError> {
    let mut directory = checked_directory(header, bytes)?;
    while let Some(commit) = directory.next_commit()? {
        each(&commit);
        directory.reuse(commit);
    }
    Ok(())
}
