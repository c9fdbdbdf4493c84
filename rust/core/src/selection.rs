//! Which messages a subscriber wants, so that choosing them costs no call to its owner for each.

use rustc_hash::FxHashMap;

use crate::batch::{Batch, MessageKind};
use crate::trade::Category;

/// How many answers are remembered before all are asked for anew.
const MAX_KNOWN: usize = 20_000;

/// Types of messages and, symbol by symbol, whether they are wanted.
#[derive(Debug, Default)]
pub struct Selection {
    /// Whether each type is wanted, in the order of [`MessageKind::ALL`].
    kinds: [bool; MessageKind::ALL.len()],
    /// Answers so far by category: for symbols, and for topics of gaps.
    known: [[FxHashMap<Box<str>, bool>; Category::ALL.len()]; 2],
}

impl Selection {
    /// The types that are wanted; all where `None`.
    #[must_use]
    pub fn new(kinds: Option<&[MessageKind]>) -> Self {
        let wanted = |kind| kinds.is_none_or(|kinds| kinds.contains(&kind));
        Self { kinds: MessageKind::ALL.map(wanted), known: Default::default() }
    }

    /// The wanted messages with a number above `after_seq`.
    ///
    /// `matches` is asked once for each symbol, and apart from that for each topic of a gap; a
    /// message about no symbol is wanted by its type alone.
    ///
    /// # Errors
    ///
    /// What `matches` returns.
    pub fn of<E>(
        &mut self,
        batch: &Batch,
        after_seq: u64,
        mut matches: impl FnMut(MessageKind, Category, &str) -> Result<bool, E>,
    ) -> Result<Batch, E> {
        batch.filtered(|message, instrument| {
            if !self.kinds[message.kind as usize] || message.seq <= after_seq {
                return Ok(false);
            }
            let Some((category, symbol)) = instrument else { return Ok(true) };
            let is_topic = usize::from(message.kind == MessageKind::Gap);
            let known = &mut self.known[is_topic][category as usize];
            if let Some(&answer) = known.get(symbol) {
                return Ok(answer);
            }
            let answer = matches(message.kind, category, symbol)?;
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert(symbol.into(), answer);
            Ok(answer)
        })
    }
}
