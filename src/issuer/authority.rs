//! Issues and verifies certificates: a CA, and a leaf for the webhooks' Service. No I/O; the current time is an
//! argument. The keys are P-256, which every API server supports and which makes handshakes cheap.

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    client::danger::ServerCertVerifier,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use thiserror::Error;
use time::OffsetDateTime;
use x509_parser::parse_x509_certificate;

/// Seconds that a CA holds: a year.
const CA_LIFE: i64 = 365 * 24 * 3600;
/// Seconds that a leaf holds: a week.
const LEAF_LIFE: i64 = 7 * 24 * 3600;
/// Seconds by which validity begins early, for clocks that are behind ours.
const BACKDATED: i64 = 300;
/// Subject of the CA, which identifies it in certificates and logs.
const CA_NAME: &str = "redis-operator webhook CA";

/// A certificate could not be made, or not read.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// The library refuses, which random bytes or a damaged key are the only causes for.
    #[error("cannot make a certificate: {0}")]
    Unmade(#[from] rcgen::Error),
    /// The time is out of the range of a certificate.
    #[error("cannot make a certificate: the clock of this machine is out of range")]
    Clock,
}

/// A certificate chain and the private key of its first certificate, both PEM. Its `Debug` shows no key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pair {
    /// The certificate, then its issuers.
    pub chain: String,
    /// PKCS#8.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// A new CA.
///
/// # Errors
/// [`AuthorityError`].
pub(super) fn authority(now: Timestamp) -> Result<Pair, AuthorityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, CA_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = life(now, CA_LIFE)?;
    Ok(Pair { chain: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
}

/// A leaf for these names, the first of which is its subject, signed by this CA.
///
/// # Errors
/// [`AuthorityError`].
pub(super) fn leaf(ca: &Pair, names: &[String], now: Timestamp) -> Result<Pair, AuthorityError> {
    let issuer = Issuer::from_ca_cert_pem(&ca.chain, KeyPair::from_pem(&ca.key)?)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, names.first().map_or(CA_NAME, String::as_str));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = life(now, LEAF_LIFE)?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Pair { chain: certificate.pem() + &ca.chain, key: key.serialize_pem() })
}

fn life(now: Timestamp, seconds: i64) -> Result<(OffsetDateTime, OffsetDateTime), AuthorityError> {
    let begin = now.as_second() - BACKDATED;
    let at = |second| OffsetDateTime::from_unix_timestamp(second).map_err(|_| AuthorityError::Clock);
    Ok((at(begin)?, at(begin + seconds)?))
}

/// Whether this is a CA that can sign now and for a while yet.
#[must_use]
pub(super) fn is_good_authority(ca: &Pair, now: Timestamp) -> bool {
    is_young(&ca.chain, now) && keys_match(ca) && can_sign(ca)
}

/// Whether a caller that trusts this CA takes the leaf for a server of each of these names, now and for a while yet.
#[must_use]
pub(super) fn is_good_leaf(leaf: &Pair, ca: &Pair, names: &[String], now: Timestamp) -> bool {
    is_young(&leaf.chain, now)
        && keys_match(leaf)
        && names.iter().all(|name| verify(&leaf.chain, &ca.chain, name, now).is_ok())
}

/// Verifies the chain for this server name against the trusted certificates.
///
/// # Errors
/// The error of rustls.
fn verify(chain: &str, trusted: &str, name: &str, now: Timestamp) -> Result<(), rustls::Error> {
    let general = |words: &str| rustls::Error::General(words.to_owned());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(trusted) {
        roots.add(certificate)?;
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
        .build()
        .map_err(|error| general(&error.to_string()))?;
    let chain = certificates(chain);
    let Some((leaf, issuers)) = chain.split_first() else { return Err(general("there is no certificate")) };
    let name = ServerName::try_from(name).map_err(|error| general(&error.to_string()))?;
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.as_second().try_into().unwrap_or(0)));
    verifier.verify_server_cert(leaf, issuers, &name, &[], now).map(|_| ())
}

/// The certificates of PEM text that do not end before `now`, at most `limit`, as PEM again.
#[must_use]
pub(super) fn unexpired(pem: &str, limit: usize, now: Timestamp) -> Vec<String> {
    let living = certificates(pem).into_iter().filter(|certificate| {
        parse_x509_certificate(certificate)
            .is_ok_and(|(_, parsed)| parsed.validity().not_after.timestamp() > now.as_second())
    });
    living.take(limit).map(|certificate| to_pem(&certificate)).collect()
}

/// Seconds since the first certificate's validity began; `None` for what cannot be read.
#[must_use]
pub(super) fn age(pem: &str, now: Timestamp) -> Option<i64> {
    let certificates = certificates(pem);
    let (_, parsed) = parse_x509_certificate(certificates.first()?).ok()?;
    Some(now.as_second() - parsed.validity().not_before.timestamp())
}

/// Whether the first certificate is valid and two thirds of its life are not over.
fn is_young(pem: &str, now: Timestamp) -> bool {
    let certificates = certificates(pem);
    let Some((_, parsed)) = certificates.first().and_then(|certificate| parse_x509_certificate(certificate).ok())
    else {
        return false;
    };
    let (begin, end) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    let now = now.as_second();
    begin <= now && now < begin + (end - begin) / 3 * 2
}

fn can_sign(ca: &Pair) -> bool {
    let Ok(key) = KeyPair::from_pem(&ca.key) else { return false };
    Issuer::from_ca_cert_pem(&ca.chain, key).is_ok()
}

fn keys_match(pair: &Pair) -> bool {
    let Ok(key) = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()) else { return false };
    let Ok(key) = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key) else { return false };
    rustls::sign::CertifiedKey::new(certificates(&pair.chain), key).keys_match().is_ok()
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect()
}

fn to_pem(certificate: &CertificateDer<'_>) -> String {
    pem::encode_config(
        &pem::Pem::new("CERTIFICATE", certificate.to_vec()),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn names() -> Vec<String> {
        ["hook.system.svc", "hook"].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_leaf_is_taken_for_its_names_by_those_who_trust_its_authority_and_nobody_else() {
        let (ca, other) = (authority(at(0)).unwrap(), authority(at(0)).unwrap());
        let leaf = leaf(&ca, &names(), at(0)).unwrap();
        assert!(is_good_authority(&ca, at(0)) && is_good_leaf(&leaf, &ca, &names(), at(0)));
        assert!(!is_good_leaf(&leaf, &other, &names(), at(0)));
        assert!(!is_good_leaf(&leaf, &ca, &["other.system.svc".to_owned()], at(0)));
        let both = format!("{}{}", other.chain, ca.chain);
        verify(&leaf.chain, &both, "hook.system.svc", at(0)).unwrap();
    }

    #[test]
    fn two_thirds_of_a_life_are_enough() {
        let ca = authority(at(0)).unwrap();
        let leaf = leaf(&ca, &names(), at(0)).unwrap();
        for (day, good) in [(-1, false), (4, true), (5, false), (8, false)] {
            assert_eq!(is_good_leaf(&leaf, &ca, &names(), at(day * DAY)), good, "day {day}");
        }
        for (day, good) in [(240, true), (244, false)] {
            assert_eq!(is_good_authority(&ca, at(day * DAY)), good, "day {day}");
        }
    }

    #[test]
    fn what_is_damaged_is_no_good() {
        let (ca, other) = (authority(at(0)).unwrap(), authority(at(0)).unwrap());
        let swapped = Pair { key: other.key.clone(), ..ca.clone() };
        assert!(!is_good_authority(&swapped, at(0)));
        for damaged in [Pair { chain: String::new(), ..ca.clone() }, Pair { key: "no key".to_owned(), ..ca.clone() }] {
            assert!(!is_good_authority(&damaged, at(0)) && !is_good_leaf(&damaged, &ca, &names(), at(0)));
        }
        assert!(!format!("{ca:?}").contains("PRIVATE"));
    }

    #[test]
    fn certificates_that_ended_are_left_out_of_what_is_trusted() {
        let (old, new) = (authority(at(-400 * DAY)).unwrap(), authority(at(0)).unwrap());
        let both = format!("{}garbage\n{}", old.chain, new.chain);
        assert_eq!(unexpired(&both, 3, at(0)), [new.chain.as_str()]);
        assert!(unexpired(&both, 0, at(0)).is_empty() && unexpired("garbage", 3, at(0)).is_empty());
    }
}
