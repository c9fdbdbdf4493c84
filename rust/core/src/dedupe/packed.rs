//! Ids as they stand in a checkpoint: in one piece, and sorted, so that equal sets are equal bytes.

use std::hash::Hash;

use rustc_hash::FxHashSet;
use serde::de::{Deserialize, Deserializer, Error};

/// A set of what `read` makes of each `N` bytes.
fn unpacked<'de, D: Deserializer<'de>, T: Hash + Eq, const N: usize>(
    deserializer: D,
    read: impl Fn([u8; N]) -> T,
) -> Result<FxHashSet<T>, D::Error> {
    let bytes = <&[u8]>::deserialize(deserializer)?;
    match bytes.as_chunks() {
        (ids, []) => Ok(ids.iter().map(|id| read(*id)).collect()),
        (_, [..]) => Err(D::Error::invalid_length(bytes.len(), &"whole ids")),
    }
}

/// Pairs of words, each as one number.
pub(super) mod uuids {
    use rustc_hash::FxHashSet;
    use serde::{Deserializer, Serializer};

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    fn halves(id: u128) -> (u64, u64) {
        ((id >> 64) as u64, id as u64)
    }

    pub(crate) fn serialize<S: Serializer>(
        ids: &FxHashSet<(u64, u64)>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let whole = |(high, low): &(u64, u64)| u128::from(*high) << 64 | u128::from(*low);
        let mut sorted: Vec<u128> = ids.iter().map(whole).collect();
        sorted.sort_unstable();
        for id in &mut sorted {
            *id = id.to_le();
        }
        serializer.serialize_bytes(bytemuck::cast_slice(&sorted))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<FxHashSet<(u64, u64)>, D::Error> {
        super::unpacked(deserializer, |id| halves(u128::from_le_bytes(id)))
    }
}

/// Words.
pub(super) mod numbers {
    use rustc_hash::FxHashSet;
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        ids: &FxHashSet<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut sorted: Vec<u64> = ids.iter().copied().collect();
        sorted.sort_unstable();
        for id in &mut sorted {
            *id = id.to_le();
        }
        serializer.serialize_bytes(bytemuck::cast_slice(&sorted))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<FxHashSet<u64>, D::Error> {
        super::unpacked(deserializer, u64::from_le_bytes)
    }
}

/// Texts, which are rare.
pub(super) mod texts {
    use std::collections::BTreeSet;

    use rustc_hash::FxHashSet;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        ids: &FxHashSet<Box<str>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        ids.iter().collect::<BTreeSet<_>>().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<FxHashSet<Box<str>>, D::Error> {
        Deserialize::deserialize(deserializer)
    }
}
