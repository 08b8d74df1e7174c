//! Which certificate new connections are shown while the files change under the server.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use hyper::StatusCode;
use redis_operator::{
    metrics::{Metrics, WebhookMetrics},
    webhook::{certificate::ServingCertificate, server::Limits},
};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::{
    echo,
    fixture::{Authority, Running, Volume, http, send, well, within},
};

#[tokio::test(flavor = "multi_thread")]
async fn rotation_under_load_fails_no_request() {
    let mut server = Running::start(echo(), Limits::default()).await;
    let mut kept = http(server.connect().await.unwrap()).await.unwrap();
    let mut answered = 0;
    for _ in 0..5 {
        let issued = server.authority.issue();
        assert_ne!(server.shown().await, issued.leaf);
        server.volume.publish(&issued.certificate, &issued.key);

        let swapped = AtomicBool::new(false);
        let load = async {
            let mut after = 0;
            // While the new pair is noticed, and for some time after.
            while after < 40 {
                let answer = server.post("/echo", "x").await;
                let (status, _) = answer.expect("a new connection is answered");
                assert_eq!(status, StatusCode::OK);
                let answer = send(&mut kept, "/echo", "y").await;
                let (status, _) = answer.expect("the old connection is answered");
                assert_eq!(status, StatusCode::OK);
                answered += 2;
                after += i32::from(swapped.load(Ordering::Relaxed));
            }
        };
        let swap = async {
            while server.shown().await != issued.leaf {}
            swapped.store(true, Ordering::Relaxed);
        };
        within("the new leaf", futures::future::join(load, swap)).await;
        assert_eq!(server.shown().await, issued.leaf);
    }
    assert!(answered >= 400, "{answered} requests are no load");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_does_not_serve_leaves_the_old_one_in_place() {
    let mut server = Running::start(echo(), Limits::default()).await;
    let issue = || server.authority.issue_until(2101);
    // Each of its own issue: halves of two volumes read across a swap could else make a pair that does serve.
    let [wrong_key, cut, cut_key, empty, swapped, next] = [(); 6].map(|()| issue());
    for (certificate, key) in [
        (wrong_key.certificate.as_str(), issue().key.as_str()),
        (half(&cut.certificate), &cut.key),
        (&cut_key.certificate, half(&cut_key.key)),
        ("", &empty.key),
        (&swapped.key, &swapped.certificate),
    ] {
        server.volume.publish(certificate, key);
        let refused = ServingCertificate::load(server.volume.files(), unseen(), well()).await;
        assert!(refused.is_err());
        // Time for several polls.
        for _ in 0..20 {
            assert_eq!(server.shown().await, server.leaf);
        }
    }
    server.volume.publish(&next.certificate, &next.key);
    within("the leaf of the corrected pair", async { while server.shown().await != next.leaf {} }).await;
    assert!(server.counted("redis_operator_certificate_renewals_total{result=\"refused\"}") >= 1.0);
    assert!((server.counted("redis_operator_certificate_renewals_total{result=\"loaded\"}") - 2.0).abs() < 0.5);
    let expiry = server.counted("redis_operator_certificate_expiry_timestamp_seconds");
    assert_eq!(expiry.to_string(), "4133980800", "the beginning of 2101");
}

/// Metrics that the test does not read.
fn unseen() -> WebhookMetrics {
    Metrics::new().webhooks
}

fn half(pem: &str) -> &str {
    &pem[..pem.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_a_certificate_that_is_not_issued_yet() {
    let mut volume = Volume::new();
    let period = Duration::from_millis(5);
    let shutdown = CancellationToken::new();
    let waiting = ServingCertificate::wait_for(volume.files(), period, unseen(), well(), shutdown.clone());
    let waiting = tokio::spawn(waiting);
    let missing = ServingCertificate::load(volume.files(), unseen(), well()).await;
    let missing = missing.err().expect("nothing to load").to_string();
    assert!(missing.contains("tls.crt") && missing.contains("mount the Secret"), "{missing}");
    assert!(!waiting.is_finished());

    let issued = Authority::new().issue();
    volume.publish(&issued.certificate, &issued.key);
    let loaded = within("the certificate once it is issued", waiting).await;
    assert!(loaded.unwrap().is_some());

    shutdown.cancel();
    let never = ServingCertificate::wait_for(Volume::new().files(), period, unseen(), well(), shutdown);
    assert!(within("the end of a cancelled wait", never).await.is_none());
}

/// Without its line breaks a key is one malformed section start, which the PEM parser's error would quote.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_on_one_line_is_not_quoted() {
    let issued = Authority::new().issue();
    let mut volume = Volume::new();
    let joined = issued.key.replace('\n', "");
    for (certificate, key) in [(&issued.certificate, &joined), (&joined, &joined)] {
        volume.publish(certificate, key);
        let refused = ServingCertificate::load(volume.files(), unseen(), well()).await;
        let refused = refused.err().expect("a refusal");
        let words = format!("{refused} {refused:?}");
        let bytes = format!("{:?}", issued.secret().as_bytes());
        assert!(!words.contains(issued.secret()), "{words}");
        assert!(!words.contains(bytes.trim_matches(['[', ']'])), "{words}");
    }
}

#[tokio::test]
async fn each_refused_pair_is_logged_once() {
    let authority = Authority::new();
    let [first, wrong, next] = [(); 3].map(|()| authority.issue());
    let mut volume = Volume::new();
    volume.publish(&first.certificate, &first.key);
    let certificate = ServingCertificate::load(volume.files(), unseen(), well()).await.unwrap();
    let shutdown = CancellationToken::new();
    let period = Duration::from_millis(1);
    let watching = certificate.watch(period, shutdown.clone());

    let changing = async {
        let mut polls = tokio::time::interval(period);
        for key in [&wrong.key, "", &next.key] {
            let before = volume.log().len();
            volume.publish(&next.certificate, key);
            within("a line for the new pair", async {
                while volume.log().len() == before {
                    polls.tick().await;
                }
            })
            .await;
            // Chances for a second one.
            for _ in 0..50 {
                polls.tick().await;
            }
        }
        shutdown.cancel();
    };
    futures::future::join(watching, changing).await;

    let lines = volume.log();
    let leaf = Sha256::digest(&next.leaf);
    let leaf = format!("{:02x?}", leaf.as_slice()).replace(['[', ']', ',', ' '], "");
    let expected = ["loaded", "not a pair", "no complete PEM private key", &leaf];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, words) in lines.iter().zip(expected) {
        assert!(line.contains(words), "{words:?} is missing in {line}");
        for issued in [&first, &wrong, &next] {
            assert!(!line.contains(issued.secret()), "{line}");
        }
    }
}
