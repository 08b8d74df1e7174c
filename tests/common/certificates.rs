//! Certificates that no client should trust and that the operators have to replace. Knows no test.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use time::OffsetDateTime;

/// A leaf and its key for the webhooks in this namespace, by this authority (all PEM), that ended an hour ago.
pub(crate) fn expired_leaf(ca: &str, ca_key: &str, namespace: &str) -> (String, String) {
    let issuer = Issuer::from_ca_cert_pem(ca, KeyPair::from_pem(ca_key).unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([format!("redis-operator-webhook.{namespace}.svc")]).unwrap();
    params.not_before = ago(48);
    params.not_after = ago(1);
    let leaf = params.signed_by(&key, &issuer).unwrap();
    (leaf.pem() + ca, key.serialize_pem())
}

/// An authority that has lived three quarters of its year, and its key.
pub(crate) fn old_authority() -> (String, String) {
    authority("an old authority", ago(274 * 24), ago(-91 * 24))
}

/// An authority that signed nothing the operators have, PEM.
pub(crate) fn foreign_authority() -> String {
    authority("a foreign authority", ago(1), ago(-24)).0
}

fn authority(name: &str, from: OffsetDateTime, until: OffsetDateTime) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = from;
    params.not_after = until;
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn ago(hours: i64) -> OffsetDateTime {
    let now = jiff::Timestamp::now().as_second();
    OffsetDateTime::from_unix_timestamp(now - hours * 3600).unwrap()
}
