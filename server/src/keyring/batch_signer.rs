//! The signing of everything that leaves the server at the same time with one signature.
//!
//! A signature costs more than the rest of an answer. So a text that is to be signed with a key
//! waits in the batch of this key. The first one that waits leads the batch: it lets every task run
//! once that can run now, and then signs for all that have come meanwhile. The answers of one
//! commit become ready together, and so they share a signature. An answer that is alone is signed
//! at once: there is no timer.

use std::mem;

use parking_lot::Mutex;
use seatmeter_protocol::signature::SigningKey;
use seatmeter_protocol::signature::batch::{self, BATCH_SIZE_MAX, Leaf};
use tokio::sync::oneshot;

/// The texts that wait to be signed with one key.
#[derive(Debug, Default)]
pub(super) struct BatchSigner {
    waiting: Mutex<Vec<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    leaf: Leaf,
    signed: oneshot::Sender<String>,
}

impl BatchSigner {
    /// Return the batch signature of this text, made with this key together with others.
    pub(super) async fn sign(&self, leaf: Leaf, key: &SigningKey) -> String {
        let (signed, is_signed) = oneshot::channel();
        let leads = {
            let mut waiting = self.waiting.lock();
            waiting.push(Waiting { leaf, signed });
            waiting.len() == 1
        };
        if leads {
            let turn = Turn { signer: self, key };
            // The task comes to the end of the queue, behind all tasks that can run now.
            tokio::task::yield_now().await;
            drop(turn);
        }
        is_signed.await.expect("a turn signs for all that wait")
    }

    /// Sign for all that wait.
    fn sign_waiting(&self, key: &SigningKey) {
        let waiting = mem::take(&mut *self.waiting.lock());
        let mut waiting = waiting.into_iter().peekable();
        while waiting.peek().is_some() {
            let batch: Vec<_> = waiting.by_ref().take(BATCH_SIZE_MAX).collect();
            let leaves: Vec<_> = batch.iter().map(|one| one.leaf).collect();
            for (one, signature) in batch.into_iter().zip(batch::sign(&leaves, key)) {
                // A receiver that no longer waits has lost its connection.
                let _ = one.signed.send(signature);
            }
        }
    }
}

/// The duty to sign for all that wait. It is done when this is dropped, so that nobody waits for
/// ever for one whose connection was lost while it led.
struct Turn<'a> {
    signer: &'a BatchSigner,
    key: &'a SigningKey,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.signer.sign_waiting(self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use seatmeter_protocol::signature::AnswerFacts;

    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed(&"1".repeat(64)).unwrap()
    }

    fn with_facts<T>(number: usize, check: impl FnOnce(&AnswerFacts<'_>) -> T) -> T {
        let (nonce, key_id) = (format!("{number:032x}"), key().public().id());
        let facts = AnswerFacts {
            request_body: b"{}",
            nonce: &nonce,
            status: 200,
            server_time: 7,
            key_id: &key_id,
        };
        check(&facts)
    }

    async fn signed(signer: &BatchSigner, number: usize) -> String {
        signer.sign(with_facts(number, |facts| facts.leaf(b"")), &key()).await
    }

    fn is_right(number: usize, signature: &str) -> bool {
        with_facts(number, |facts| facts.verify(b"", signature, key().public()).is_ok())
    }

    fn size_of(signature: &str) -> usize {
        signature.split('.').nth(2).unwrap().parse().unwrap()
    }

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_text_that_is_alone_is_signed_as_soon_as_others_have_had_their_turn() {
        let signer = BatchSigner::default();
        let mut alone = pin!(signed(&signer, 1));
        assert!(poll(alone.as_mut()).is_pending());
        let Poll::Ready(signature) = poll(alone) else { panic!("it waits for nothing more") };
        assert!(is_right(1, &signature));
        assert_eq!(size_of(&signature), 1);
    }

    #[tokio::test]
    async fn what_is_ready_at_the_same_time_shares_a_signature() {
        let signer = BatchSigner::default();
        let signatures = tokio::join!(signed(&signer, 0), signed(&signer, 1), signed(&signer, 2));
        let signatures = [signatures.0, signatures.1, signatures.2];
        for (number, signature) in signatures.iter().enumerate() {
            assert!(is_right(number, signature));
            assert_eq!(size_of(signature), 3);
            assert_eq!(signature[..128], signatures[0][..128]);
        }
    }

    #[tokio::test]
    async fn more_than_a_batch_can_hold_become_several_batches() {
        let signer = std::sync::Arc::new(BatchSigner::default());
        let all: Vec<_> = (0..BATCH_SIZE_MAX + 3)
            .map(|number| {
                let signer = std::sync::Arc::clone(&signer);
                tokio::spawn(async move { (number, signed(&signer, number).await) })
            })
            .collect();
        let mut sizes = Vec::new();
        for one in all {
            let (number, signature) = one.await.unwrap();
            assert!(is_right(number, &signature));
            sizes.push(size_of(&signature));
        }
        assert!(sizes.iter().all(|size| *size <= BATCH_SIZE_MAX), "{sizes:?}");
        assert!(sizes.iter().any(|size| *size > 1), "they were signed one by one");
    }

    #[test]
    fn one_that_is_dropped_while_it_leads_signs_for_the_others() {
        let signer = BatchSigner::default();
        let mut follower = pin!(signed(&signer, 2));
        {
            let mut leader = Box::pin(signed(&signer, 1));
            assert!(poll(leader.as_mut()).is_pending());
            assert!(poll(follower.as_mut()).is_pending());
        }
        let Poll::Ready(signature) = poll(follower) else { panic!("nobody signs for it") };
        assert!(is_right(2, &signature));
    }
}
