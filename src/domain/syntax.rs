//! The syntax of Kubernetes names, label keys and label values (apimachinery, `util/validation`), with its error
//! messages.

/// Error of a name that must be a DNS-1035 label, such as a Service's.
pub const DNS_1035_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
     alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is \
     '[a-z]([-a-z0-9]*[a-z0-9])?')";
/// Error of a name that must be an RFC 1123 subdomain, as most names.
pub const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
     must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS_1123_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
     start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_KEY: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
     character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
     start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
     '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const LABEL_LIMIT: usize = 63;
const SUBDOMAIN_LIMIT: usize = 253;

/// Whether the text is a DNS-1035 label, its length aside.
#[must_use]
pub fn is_dns_1035_label(text: &str) -> bool {
    is_dns_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Whether the text is an RFC 1123 subdomain.
#[must_use]
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= SUBDOMAIN_LIMIT && text.split('.').all(is_dns_label)
}

fn is_dns_label(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(|c| edge(c) || c == '-')
}

/// The error of a namespace name, if it is invalid.
#[must_use]
pub fn namespace_fault(name: &str) -> Option<String> {
    match name {
        name if name.len() > LABEL_LIMIT => Some(format!("must be no more than {LABEL_LIMIT} bytes")),
        name if is_dns_label(name) => None,
        name if is_subdomain(name) => Some("must not contain dots".to_owned()),
        _ => Some(DNS_1123_LABEL.to_owned()),
    }
}

/// The error of a label value, if it is invalid.
#[must_use]
pub fn label_value_fault(value: &str) -> Option<String> {
    match value {
        value if value.len() > LABEL_LIMIT => Some(format!("must be no more than {LABEL_LIMIT} bytes")),
        value if value.is_empty() || is_label_name(value) => None,
        _ => Some(LABEL_VALUE.to_owned()),
    }
}

/// The error of a label or annotation key, if it is invalid.
#[must_use]
pub fn label_key_fault(key: &str) -> Option<String> {
    let (prefix, name) = match key.split_once('/') {
        Some((_, name)) if name.contains('/') => {
            return Some(format!(
                "a valid label key {LABEL_KEY} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ));
        }
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    match (prefix, name) {
        (Some(""), _) => Some("prefix part must be non-empty".to_owned()),
        (Some(prefix), _) if !is_subdomain(prefix) => Some(format!("prefix part {SUBDOMAIN}")),
        (_, "") => Some("name part must be non-empty".to_owned()),
        (_, name) if name.len() > LABEL_LIMIT => Some(format!("name part must be no more than {LABEL_LIMIT} bytes")),
        (_, name) if !is_label_name(name) => Some(format!("name part {LABEL_KEY}")),
        _ => None,
    }
}

fn is_label_name(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(|c| edge(c) || "-_.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(is_dns_1035_label("a-1") && is_subdomain("1.a-b") && namespace_fault("1-a").is_none());
        for name in ["", "-a", "a-", "A", "a_b", "a..b"] {
            assert!(!is_dns_1035_label(name) && !is_subdomain(name) && namespace_fault(name).is_some(), "{name}");
        }
        assert!(!is_dns_1035_label("1a") && !is_subdomain(&"a".repeat(254)));
        assert_eq!(namespace_fault("a.b").unwrap(), "must not contain dots");
        assert!(namespace_fault(&"a".repeat(64)).unwrap().contains("63"));
    }

    #[test]
    fn labels() {
        for key in ["app", "app.kubernetes.io/name", "A_b.c", "1"] {
            assert_eq!(label_key_fault(key), None, "{key}");
        }
        for key in ["", "/a", "a/", "a/b/c", "-a", "a b", "A/b", "é"] {
            assert!(label_key_fault(key).is_some(), "{key}");
        }
        assert!(label_value_fault("").is_none() && label_value_fault("v1.2_x").is_none());
        assert!(label_value_fault("a b").is_some() && label_value_fault(&"a".repeat(64)).is_some());
    }
}
