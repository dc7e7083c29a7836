//! The test vectors of batch signatures: `tests/vectors/batches.json`. The tree is computed here a
//! second time, by halves as RFC 9162 defines it.
//!
//! `UPDATE_VECTORS=1 cargo test -p seatmeter-protocol --test batch_vectors` writes them anew.

#![allow(clippy::unwrap_used, reason = "everything here is a test")]
#![allow(
    clippy::disallowed_methods,
    reason = "the test run is asked to write files by its environment"
)]

use ring::signature::Ed25519KeyPair;
use seatmeter_protocol::signature::batch::{self, Leaf};
use seatmeter_protocol::signature::{AnswerFacts, SigningKey, digest_hex};
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;
const SEED: [u8; 32] = [2; 32];
const REQUEST: &str = r#"{"protocol":1}"#;

fn key() -> SigningKey {
    SigningKey::from_seed(&hex::encode(SEED)).unwrap()
}

fn nonce(number: usize) -> String {
    format!("{number:032x}")
}

fn body(number: usize) -> String {
    format!("{{\"number\":{number}}}")
}

/// Return what `check` gets for the answer with this number.
fn with_facts<T>(number: usize, check: impl FnOnce(&AnswerFacts<'_>, &[u8]) -> T) -> T {
    let (nonce, key_id) = (nonce(number), key().public().id());
    let facts = AnswerFacts {
        request_body: REQUEST.as_bytes(),
        nonce: &nonce,
        status: 200,
        server_time: NOW,
        key_id: &key_id,
    };
    check(&facts, body(number).as_bytes())
}

fn leaf(number: usize) -> Leaf {
    with_facts(number, |facts, body| facts.leaf(body))
}

fn is_believed(number: usize, signature: &str) -> bool {
    with_facts(number, |facts, body| facts.verify(body, signature, key().public()).is_ok())
}

/// Return what a leaf is the hash of, without its first byte.
fn leaf_text(number: usize) -> Vec<u8> {
    let (digest, key_id) = (digest_hex(REQUEST.as_bytes()), key().public().id());
    let (nonce, body) = (nonce(number), body(number));
    format!("seatmeter/1 answer\n{digest}\n{nonce}\n200\n{NOW}\n{key_id}\n{body}").into_bytes()
}

fn hash(first: &[u8], rest: &[u8]) -> Vec<u8> {
    hex::decode(digest_hex(&[first, rest].concat())).unwrap()
}

/// Return the root over these leaves, with these bytes in front of a node.
fn root(leaves: &[Vec<u8>], first: &[u8]) -> Vec<u8> {
    if let [leaf] = leaves {
        return leaf.clone();
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    hash(first, &[root(left, first), root(right, first)].concat())
}

fn sign(text: &str) -> String {
    let pair = Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap();
    hex::encode(pair.sign(text.as_bytes()))
}

fn sign_root(size: usize, root: &[u8]) -> String {
    sign(&format!("seatmeter/1 batch\n{size}\n{}", hex::encode(root)))
}

fn batch_of(size: usize) -> Vec<String> {
    batch::sign(&(0..size).map(leaf).collect::<Vec<_>>(), &key())
}

/// Check a batch of this size against the tree by halves, and return it as a vector.
fn checked_batch(size: usize) -> Value {
    let leaves: Vec<_> = (0..size).map(|number| hash(&[0], &leaf_text(number))).collect();
    let root = root(&leaves, &[1]);
    let answers: Vec<_> = batch_of(size)
        .iter()
        .enumerate()
        .map(|(number, signature)| {
            assert_eq!(leaf(number).to_string(), hex::encode(&leaves[number]));
            assert!(signature.starts_with(&sign_root(size, &root)), "{size} {number}");
            assert!(is_believed(number, signature), "{size} {number}");
            json!({ "nonce": nonce(number), "body": body(number),
                    "leaf": leaf(number).to_string(), "signature": signature })
        })
        .collect();
    json!({ "size": size, "root": hex::encode(root), "answers": answers })
}

/// Return signatures of this answer that must be refused, with the reason.
fn refused(number: usize) -> Vec<(&'static str, String)> {
    let of_three = batch_of(3).remove(number);
    let of_64 = batch_of(64).remove(number);
    let changed = |text: &str, change: &dyn Fn(&mut Vec<String>)| {
        let mut parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        change(&mut parts);
        parts.join(".")
    };
    let own = leaf_text(number);
    let sibling = hash(&[0], &leaf_text(1));
    let as_node = hash(&[1], &own);
    let bare = hash(&[], &own);
    let swapped = root(&[hash(&[0], &own), sibling.clone()], &[0]);
    let without_size = format!("seatmeter/1 batch\n{}", hex::encode(hash(&[0], &own)));
    let alone = String::from_utf8(own).unwrap();
    vec![
        ("wrong index", changed(&of_64, &|parts| parts[1] = "1".into())),
        ("index beyond the size", changed(&of_64, &|parts| parts[1] = "64".into())),
        ("other size", changed(&of_64, &|parts| parts[2] = "63".into())),
        ("other size, in which the path has the same shape", {
            changed(&of_three, &|parts| parts[2] = "4".into())
        }),
        ("size above 1024", changed(&of_64, &|parts| parts[2] = "1025".into())),
        ("path too short", changed(&of_64, &|parts| drop(parts.pop()))),
        ("path too long", changed(&of_64, &|parts| parts.push("0".repeat(64)))),
        ("path without its first hash", changed(&of_64, &|parts| drop(parts.remove(3)))),
        ("other order of the path", changed(&of_64, &|parts| parts.swap(3, 4))),
        ("signature of another batch", {
            changed(&of_64, &|parts| parts[0] = of_three.split('.').next().unwrap().to_owned())
        }),
        ("place of another answer", batch_of(64).remove(1)),
        ("digits in upper case", of_64.to_uppercase()),
        ("index with a zero in front", changed(&of_64, &|parts| parts[1] = "00".into())),
        ("an empty part at the end", of_64.clone() + "."),
        ("a leaf that is hashed as a node", sign_root(1, &as_node) + ".0.1"),
        ("a leaf without its first byte", sign_root(1, &bare) + ".0.1"),
        ("a node that is hashed as a leaf", {
            format!("{}.0.2.{}", sign_root(2, &swapped), hex::encode(sibling))
        }),
        ("a root that is signed without the size", sign(&without_size) + ".0.1"),
        ("a signature of the answer alone", sign(&alone)),
        ("a signature of the answer alone, as a batch", sign(&alone) + ".0.1"),
    ]
}

#[test]
fn batches_are_as_committed_and_what_is_not_of_a_batch_is_refused() {
    let batches: Vec<_> = [1, 2, 3, 64].into_iter().map(checked_batch).collect();
    let number = 0;
    let refused: Vec<_> = refused(number)
        .into_iter()
        .map(|(why, signature)| {
            assert!(!is_believed(number, &signature), "{why}");
            json!({ "why": why, "signature": signature })
        })
        .collect();
    let content = json!({
        "server_seed": hex::encode(SEED), "server_public": key().public(),
        "server_key_id": key().public().id(), "request_body": REQUEST,
        "request_digest": digest_hex(REQUEST.as_bytes()), "status": 200, "server_time": NOW,
        "batches": batches,
        "refused": { "nonce": nonce(number), "body": body(number), "signatures": refused },
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/batches.json");
    let text = serde_json::to_string_pretty(&content).unwrap() + "\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert_eq!(committed, text, "run with UPDATE_VECTORS=1 if the form is meant to change");
}
