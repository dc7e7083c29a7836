//! Batches: one signature for many texts.
//!
//! A server signs the texts that leave it together with one signature. Each text is a leaf of a
//! Merkle tree as in RFC 9162, and the key signs the root. What a text shows is its path from the
//! leaf to the root, so that each of them can be checked without the others.
//!
//! ```text
//! leaf      = SHA-256(00 + the bytes that a signature of this text alone would cover)
//! node      = SHA-256(01 + left + right)
//! signature = Ed25519 over "seatmeter/1 batch\n" + size + "\n" + root in 64 digits
//! written   = signature "." index "." size { "." hash of the path, that beside the leaf first }
//! ```
//!
//! The first byte tells leaves from nodes, and the context in front of each text tells the kinds
//! of text apart. The size is signed, and index and size demand how long the path is, so a text
//! has exactly one place in a batch and one written form.

use std::fmt;
use std::str::FromStr;

use ring::digest::{Context, SHA256};

use super::{PublicKey, SignatureError, SigningKey, context_line, is_lower_hex, read_hex};

/// Most texts in one batch.
///
/// A path has at most ten hashes, which keeps a header short. A greater batch saves nothing: at
/// this size a signature costs less for each text than the hashes do.
pub const BATCH_SIZE_MAX: usize = 1 << PATH_COUNT_MAX;
const PATH_COUNT_MAX: usize = 10;

const CONTEXT: &str = "batch";
const LEAF: u8 = 0;
const NODE: u8 = 1;
const SIGNATURE_DIGITS: usize = 128;

type Hash = [u8; 32];

/// A text that is to be signed, as a leaf of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf(Hash);

impl Leaf {
    /// Return the leaf of a text of this kind, which is given in parts.
    pub(super) fn new(context: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(&[LEAF]);
        hash.update(context_line(context).as_bytes());
        parts.iter().for_each(|part| hash.update(part));
        Self(finish(hash))
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Sign these texts with one signature. Return the written form of each, in their order.
///
/// # Panics
/// Panics when there are no texts, or more than [`BATCH_SIZE_MAX`].
#[must_use]
pub fn sign(leaves: &[Leaf], key: &SigningKey) -> Vec<String> {
    let size = leaves.len();
    assert!((1..=BATCH_SIZE_MAX).contains(&size), "a batch of {size} texts");
    let levels = levels(leaves);
    let root = levels.last().and_then(|top| top.first()).expect("the top level is the root");
    let signature = key.sign(CONTEXT, &signed_text(size, root));
    (0..size).map(|index| written(&signature, index, size, &levels)).collect()
}

/// Return the levels of the tree: the leaves first, the root last.
fn levels(leaves: &[Leaf]) -> Vec<Vec<Hash>> {
    let mut levels = vec![leaves.iter().map(|leaf| leaf.0).collect::<Vec<_>>()];
    while let Some(below) = levels.last().filter(|below| below.len() > 1) {
        // A node without a sibling is carried up as it is. This gives the shape of RFC 9162.
        let above = below.chunks(2).map(|pair| match pair {
            [left, right] => node(left, right),
            alone => alone[0],
        });
        let above = above.collect();
        levels.push(above);
    }
    levels
}

fn written(signature: &str, index: usize, size: usize, levels: &[Vec<Hash>]) -> String {
    let mut text = format!("{signature}.{index}.{size}");
    for (height, level) in levels.iter().enumerate() {
        if let Some(sibling) = level.get((index >> height) ^ 1) {
            text.push('.');
            text.push_str(&hex::encode(sibling));
        }
    }
    text
}

/// The signature of a batch, with the place of one text in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchSignature {
    signature: String,
    index: usize,
    size: usize,
    path: Vec<Hash>,
}

impl BatchSignature {
    /// Check that the holder of this key has signed a batch with this text at this place.
    ///
    /// # Errors
    /// Fails when the path does not lead from this text to a root that the key has signed.
    pub(super) fn verify(
        &self,
        leaf: Leaf,
        context: &'static str,
        key: &PublicKey,
    ) -> Result<(), SignatureError> {
        let root = self.root(leaf).ok_or(MALFORMED)?;
        let is_signed = key.verify(CONTEXT, &signed_text(self.size, &root), &self.signature);
        // The kind of the text says more to people than that of the batch.
        is_signed.map_err(|error| match error {
            SignatureError::Wrong(_) => SignatureError::Wrong(context),
            other => other,
        })
    }

    /// Return the root to which the path leads from this leaf; `None` if the path is longer or
    /// shorter than index and size demand.
    fn root(&self, leaf: Leaf) -> Option<Hash> {
        let (mut index, mut last) = (self.index, self.size - 1);
        let mut path = self.path.iter();
        let mut hash = leaf.0;
        while last > 0 {
            if index % 2 == 1 {
                hash = node(path.next()?, &hash);
            } else if index < last {
                hash = node(&hash, path.next()?);
            }
            (index, last) = (index / 2, last / 2);
        }
        path.next().is_none().then_some(hash)
    }
}

const MALFORMED: SignatureError = SignatureError::Malformed("a batch signature");

impl FromStr for BatchSignature {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(MALFORMED);
        let (signature, index, size) = (next()?, number(next()?)?, number(next()?)?);
        if signature.len() != SIGNATURE_DIGITS || !is_lower_hex(signature) {
            return Err(MALFORMED);
        }
        if index >= size || size > BATCH_SIZE_MAX {
            return Err(MALFORMED);
        }
        // One more than the longest path is enough to see that it is too long.
        let path = parts.take(PATH_COUNT_MAX + 1).map(hash).collect::<Result<_, _>>()?;
        Ok(Self { signature: signature.to_owned(), index, size, path })
    }
}

impl fmt::Display for BatchSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.signature, self.index, self.size)?;
        self.path.iter().try_for_each(|hash| write!(f, ".{}", hex::encode(hash)))
    }
}

/// Read a number as it is written: without a sign, and without zeros in front.
fn number(text: &str) -> Result<usize, SignatureError> {
    let number: usize = text.parse().map_err(|_| MALFORMED)?;
    if number.to_string() == text { Ok(number) } else { Err(MALFORMED) }
}

fn hash(text: &str) -> Result<Hash, SignatureError> {
    let mut hash = [0; 32];
    read_hex(text, &mut hash).ok_or(MALFORMED)?;
    Ok(hash)
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Context::new(&SHA256);
    hash.update(&[NODE]);
    hash.update(left);
    hash.update(right);
    finish(hash)
}

fn finish(hash: Context) -> Hash {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    bytes
}

fn signed_text(size: usize, root: &Hash) -> Vec<u8> {
    format!("{size}\n{}", hex::encode(root)).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed(&"1".repeat(64)).unwrap()
    }

    fn leaves(count: usize) -> Vec<Leaf> {
        (0..count).map(|n| Leaf::new("note", &[n.to_string().as_bytes()])).collect()
    }

    fn check(text: &str, leaf: Leaf) -> Result<(), SignatureError> {
        text.parse::<BatchSignature>()?.verify(leaf, "note", key().public())
    }

    /// Return the root as RFC 9162 defines it, by halves.
    fn root_by_halves(leaves: &[Leaf]) -> Hash {
        if let [leaf] = leaves {
            return leaf.0;
        }
        let half = leaves.len().next_power_of_two() / 2;
        node(&root_by_halves(&leaves[..half]), &root_by_halves(&leaves[half..]))
    }

    #[test]
    fn each_text_of_a_batch_of_any_size_is_believed_at_its_place_and_nowhere_else() {
        for size in 1..=33 {
            let leaves = leaves(size);
            let signed = sign(&leaves, &key());
            assert_eq!(signed.len(), size);
            for (text, own) in signed.iter().zip(&leaves) {
                for leaf in &leaves {
                    assert_eq!(check(text, *leaf).is_ok(), leaf == own, "{size} texts, {text}");
                }
            }
        }
    }

    #[test]
    fn the_tree_has_the_shape_of_rfc_9162() {
        for size in 1..=70 {
            let leaves = leaves(size);
            assert_eq!(levels(&leaves).last().unwrap()[0], root_by_halves(&leaves), "{size}");
        }
    }

    #[test]
    fn the_greatest_batch_can_be_signed_and_read() {
        let leaves = leaves(BATCH_SIZE_MAX);
        let signed = sign(&leaves, &key());
        for place in [0, 511, BATCH_SIZE_MAX - 1] {
            assert_eq!(check(&signed[place], leaves[place]), Ok(()));
        }
    }

    #[test]
    fn what_is_written_reads_back_and_nothing_else_is_read() {
        let signed = sign(&leaves(3), &key());
        let text = &signed[1];
        assert_eq!(text.parse::<BatchSignature>().unwrap().to_string(), *text);
        let (signature, rest) = text.split_once('.').unwrap();
        let hash = "0".repeat(64);
        for wrong in [
            String::new(),
            signature.to_owned(),
            format!("{signature}.0"),
            format!("{signature}.0.0"),
            format!("{signature}.1.1"),
            format!("{signature}.0.1025"),
            format!("{signature}.00.1"),
            format!("{signature}.+0.1"),
            format!("{signature}.0.1."),
            format!("{signature}.0.1 "),
            format!("{signature}.0.18446744073709551617"),
            format!("{}.{rest}", signature.to_uppercase()),
            format!("{signature}.{}", rest.to_uppercase()),
            format!("{signature}0.{rest}"),
            format!("{signature}.{rest}.{}", &hash[2..]),
            format!("{signature}.0.1024{}", format!(".{hash}").repeat(11)),
        ] {
            assert!(check(&wrong, leaves(3)[1]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_path_of_another_length_or_order_or_place_or_size_is_refused() {
        let (leaves, signed) = (leaves(8), sign(&leaves(8), &key()));
        let parts: Vec<&str> = signed[2].split('.').collect();
        let with = |change: &dyn Fn(&mut Vec<String>)| {
            let mut parts: Vec<String> = parts.iter().map(|&part| part.to_owned()).collect();
            change(&mut parts);
            check(&parts.join("."), leaves[2])
        };
        assert_eq!(with(&|_| ()), Ok(()));
        assert_eq!(with(&|parts| drop(parts.pop())), Err(MALFORMED));
        assert_eq!(with(&|parts| parts.push("0".repeat(64))), Err(MALFORMED));
        assert!(with(&|parts| parts.swap(3, 4)).is_err());
        assert!(with(&|parts| parts[1] = "3".into()).is_err());
        assert!(with(&|parts| parts[1] = "6".into()).is_err());
        assert!(with(&|parts| parts[2] = "7".into()).is_err(), "the size is signed");
    }

    #[test]
    fn a_node_is_no_leaf_and_a_leaf_no_node() {
        let two = leaves(2);
        let inner = Leaf(node(&two[0].0, &two[1].0));
        let four = leaves(4);
        let signed = sign(&four, &key());
        // The node above the first two, shown as a leaf of a batch of two.
        let parts: Vec<&str> = signed[0].split('.').collect();
        let as_leaf = format!("{}.0.2.{}", parts[0], parts[4]);
        assert!(check(&as_leaf, inner).is_err());
        // A text with the bytes of a node has another hash than the node.
        let bytes = [two[0].0, two[1].0].concat();
        assert_ne!(Leaf::new("note", &[&bytes]), inner);
    }
}
