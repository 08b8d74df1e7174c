//! The contents of the certificate Secret, and which parts have to be renewed. No I/O; the current time is an argument.

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::authority::{self, AuthorityError, Pair};
use crate::domain::names::OPERATOR;

/// Keys of the Secret: the CA's certificate, followed by those that are still trusted beside it; its key; the leaf.
const TRUSTED: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";
/// Maximum number of former CAs that are trusted beside the present one.
const FORMER: usize = 2;
/// Seconds after which no operator serves a leaf of a former CA any more.
const OVERLAP: i64 = 24 * 3600;

/// A CA, those trusted beside it, and a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bundle {
    ca: Pair,
    former: Vec<String>,
    leaf: Pair,
}

/// What has to be issued again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// Nothing.
    None,
    /// The leaf, by the same CA.
    Leaf,
    /// The CA, and a leaf by it.
    Authority,
}

impl Bundle {
    /// Reads the contents of a Secret. Missing keys are read as empty, which is invalid.
    #[must_use]
    pub(super) fn read(secret: Option<&Secret>) -> Self {
        let data = secret.and_then(|secret| secret.data.as_ref());
        let text = |key: &str| {
            let bytes = data.and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice()).unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        // Whole certificates only, so that none can hide what stands behind it.
        let mut trusted = pem_blocks(&text(TRUSTED)).into_iter();
        Self {
            ca: Pair { chain: trusted.next().unwrap_or_default(), key: text(AUTHORITY_KEY) },
            former: trusted.collect(),
            leaf: Pair { chain: text(CHAIN), key: text(KEY) },
        }
    }

    /// Determines what has to be issued again so that the webhooks stay trusted under these names.
    #[must_use]
    pub(super) fn judge(&self, names: &[String], now: Timestamp) -> Renewal {
        if !authority::is_good_authority(&self.ca, now) {
            Renewal::Authority
        } else if authority::is_good_leaf(&self.leaf, &self.ca, names, now) {
            Renewal::None
        } else {
            Renewal::Leaf
        }
    }

    /// The bundle with newly issued parts. If the CA is new, the former CA and the caBundle that the API server has now
    /// stay trusted for a while, because other operators serve their leaves until they have read the new bundle.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub(super) fn renewed(
        &self,
        renewal: Renewal,
        trusted_now: &str,
        names: &[String],
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        let (ca, former) = match renewal {
            Renewal::None => return Ok(self.clone()),
            Renewal::Leaf => {
                let overlaps = authority::age(&self.ca.chain, now).is_some_and(|age| age < OVERLAP);
                let former = authority::unexpired(&self.former.concat(), if overlaps { FORMER } else { 0 }, now);
                (self.ca.clone(), former)
            }
            Renewal::Authority => {
                let mut former = authority::unexpired(&format!("{}{trusted_now}", self.ca.chain), usize::MAX, now);
                former.dedup();
                former.truncate(FORMER);
                (authority::authority(now)?, former)
            }
        };
        Ok(Self { leaf: authority::leaf(&ca, names, now)?, ca, former })
    }

    /// Every CA that the API server is to trust, the present one first.
    #[must_use]
    pub(super) fn trusted(&self) -> String {
        format!("{}{}", self.ca.chain, self.former.concat())
    }

    /// The certificate chain and key that the webhooks serve.
    #[must_use]
    pub(super) fn leaf(&self) -> &Pair {
        &self.leaf
    }

    /// The certificate of the CA that signed the leaf.
    #[must_use]
    pub(super) fn authority(&self) -> &str {
        &self.ca.chain
    }

    /// A new Secret of this name that holds it.
    #[must_use]
    pub(super) fn secret(&self, name: &str) -> Secret {
        let labels = [("app.kubernetes.io/name", OPERATOR), ("app.kubernetes.io/managed-by", OPERATOR)];
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        };
        let type_ = Some("kubernetes.io/tls".to_owned());
        Secret { metadata, data: Some(self.data()), type_, ..Secret::default() }
    }

    /// The data of the Secret.
    #[must_use]
    pub(super) fn data(&self) -> std::collections::BTreeMap<String, ByteString> {
        let trusted = self.trusted();
        [(TRUSTED, &trusted), (AUTHORITY_KEY, &self.ca.key), (CHAIN, &self.leaf.chain), (KEY, &self.leaf.key)]
            .map(|(key, text)| (key.to_owned(), ByteString(text.clone().into_bytes())))
            .into()
    }
}

fn pem_blocks(text: &str) -> Vec<String> {
    authority::unexpired(text, usize::MAX, Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + day * DAY).unwrap()
    }

    fn names() -> Vec<String> {
        vec!["hook.system.svc".to_owned()]
    }

    fn first() -> Bundle {
        Bundle::read(None).renewed(Renewal::Authority, "", &names(), at(0)).unwrap()
    }

    fn stored(bundle: &Bundle) -> Bundle {
        Bundle::read(Some(&bundle.secret("certificates")))
    }

    #[test]
    fn nothing_becomes_a_bundle_that_is_good_and_reads_back() {
        assert_eq!(Bundle::read(None).judge(&names(), at(0)), Renewal::Authority);
        let bundle = first();
        assert_eq!(stored(&bundle), bundle);
        assert_eq!(bundle.judge(&names(), at(0)), Renewal::None);
        assert_eq!(bundle.trusted(), bundle.authority());
    }

    #[test]
    fn a_leaf_is_renewed_alone_and_its_authority_stays() {
        let bundle = first();
        assert_eq!(bundle.judge(&names(), at(5)), Renewal::Leaf);
        assert_eq!(bundle.judge(&["other.system.svc".to_owned()], at(0)), Renewal::Leaf);
        let renewed = bundle.renewed(Renewal::Leaf, "", &names(), at(5)).unwrap();
        assert_eq!(renewed.judge(&names(), at(9)), Renewal::None);
        assert_eq!(renewed.trusted(), bundle.trusted());
        assert_ne!(renewed.leaf(), bundle.leaf());
    }

    #[test]
    fn a_new_authority_is_trusted_beside_the_former_one_until_its_leaves_are_gone() {
        let old = first();
        assert_eq!(old.judge(&names(), at(250)), Renewal::Authority);
        let new = old.renewed(Renewal::Authority, &old.trusted(), &names(), at(250)).unwrap();
        assert_eq!(new.trusted(), format!("{}{}", new.authority(), old.authority()), "each once");
        assert_eq!(stored(&new).judge(&names(), at(250)), Renewal::None);
        let later = new.renewed(Renewal::Leaf, &new.trusted(), &names(), at(255)).unwrap();
        assert_eq!(later.trusted(), new.authority());
    }

    #[test]
    fn a_lost_secret_costs_nobody_their_trust() {
        let lost = first();
        let new = Bundle::read(None).renewed(Renewal::Authority, &lost.trusted(), &names(), at(1)).unwrap();
        assert!(new.trusted().ends_with(lost.authority()) && new.trusted() != lost.trusted());
    }

    #[test]
    fn what_somebody_damaged_is_made_anew() {
        let good = first();
        for key in [TRUSTED, AUTHORITY_KEY, CHAIN, KEY] {
            let mut data = good.data();
            data.insert(key.to_owned(), ByteString(b"damaged".to_vec()));
            let damaged = Bundle::read(Some(&Secret { data: Some(data), ..Secret::default() }));
            let renewal = damaged.judge(&names(), at(0));
            let expected = if key.starts_with("ca") { Renewal::Authority } else { Renewal::Leaf };
            assert_eq!(renewal, expected, "{key}");
            let mended = damaged.renewed(renewal, &good.trusted(), &names(), at(0)).unwrap();
            assert_eq!(mended.judge(&names(), at(0)), Renewal::None, "{key}");
        }
    }
}
