//! Finds the objects in a document: expands lists, ignores other kinds, and reports objects whose kind or version is
//! slightly wrong.

use super::{
    node::{Content, Node},
    yaml::Unreadable,
};
use crate::api;

const API_VERSION: &str = "redis.github.com/v1";

/// One object of a document.
#[derive(Debug)]
pub enum Found<'a> {
    /// A `RedisInstance`.
    Instance(&'a Node),
    /// An object of another kind.
    Other(&'a Node),
    /// An object that no API server with our CRD would take, and why.
    Unmatched(&'a Node, String),
}

/// Identity of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace, if it names one.
    pub namespace: Option<String>,
    /// The name, or the `generateName` prefix.
    pub name: String,
}

impl Identity {
    /// Reads what an object is called.
    #[must_use]
    pub fn of(node: &Node) -> Self {
        let text = |node: Option<&Node>| node.and_then(Node::text).map(str::to_owned);
        let metadata = |field: &str| text(node.get("metadata").and_then(|metadata| metadata.get(field)));
        Self {
            api_version: text(node.get("apiVersion")).unwrap_or_else(|| API_VERSION.to_owned()),
            kind: text(node.get("kind")).unwrap_or_else(|| api::KIND.to_owned()),
            namespace: metadata("namespace").filter(|namespace| !namespace.is_empty()),
            name: metadata("name").or_else(|| metadata("generateName")).unwrap_or_default(),
        }
    }

    /// As kubectl writes it: `redisinstance.redis.github.com/cache`.
    #[must_use]
    pub fn resource(&self) -> String {
        let group = self.api_version.split_once('/').map(|(group, _)| format!(".{group}")).unwrap_or_default();
        format!("{}{group}/{}", self.kind.to_lowercase(), self.name)
    }

    /// Whether both may be the same object: a namespace that one of them leaves out is no difference.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        let same_namespace = match (&self.namespace, &other.namespace) {
            (Some(this), Some(other)) => this == other,
            _ => true,
        };
        self.name == other.name && same_namespace
    }
}

/// Every object of the document.
///
/// # Errors
/// When it is no Kubernetes object.
pub fn objects(document: &Node) -> Result<Vec<Found<'_>>, Unreadable> {
    let mut found = Vec::new();
    collect(document, None, &mut found)?;
    Ok(found)
}

/// `listed`: the list's own group and version, which its items may leave out with their kind.
fn collect<'a>(node: &'a Node, listed: Option<&str>, found: &mut Vec<Found<'a>>) -> Result<(), Unreadable> {
    let text = |field: &str| node.get(field).and_then(Node::text).filter(|text| !text.is_empty());
    let unreadable = |message: &str| Unreadable { line: node.line, message: message.to_owned() };
    if !matches!(node.content, Content::Map(_)) {
        return Err(unreadable("is no Kubernetes object: not a mapping"));
    }
    let (version, kind) = match (text("apiVersion"), text("kind"), listed) {
        (Some(version), Some(kind), _) => (version, kind),
        (None, None, Some(version)) => (version, api::KIND),
        (_, None, _) => return Err(unreadable("is no Kubernetes object: it has no kind")),
        (None, ..) => return Err(unreadable("is no Kubernetes object: it has no apiVersion")),
    };
    if let Some(Content::List(items)) = node.get("items").map(|items| &items.content) {
        let listed = (version == API_VERSION).then_some(version);
        return items.iter().try_for_each(|item| collect(item, listed, found));
    }
    let group = version.split_once('/').map_or("", |(group, _)| group);
    found.push(match (group, version) {
        (_, API_VERSION) if kind == api::KIND => Found::Instance(node),
        (api::GROUP, _) => Found::Unmatched(node, no_match(kind, version)),
        // Kubernetes' own groups have no such kind; a third-party group may.
        ("", _) if kind.eq_ignore_ascii_case(api::KIND) => Found::Unmatched(node, no_match(kind, version)),
        _ => Found::Other(node),
    });
    Ok(())
}

fn no_match(kind: &str, version: &str) -> String {
    format!("no matches for kind \"{kind}\" in version \"{version}\"; it is {} in {API_VERSION}", api::KIND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::yaml;

    fn kinds(text: &str) -> Result<Vec<String>, String> {
        let document = yaml::documents(text).remove(0).unwrap();
        let kind = |found: &Found<'_>| match found {
            Found::Instance(node) => format!("ours {}", Identity::of(node).resource()),
            Found::Other(node) => format!("other {}", Identity::of(node).resource()),
            Found::Unmatched(_, why) => why.clone(),
        };
        objects(&document).map(|found| found.iter().map(kind).collect()).map_err(|error| error.message)
    }

    #[test]
    fn ours_others_and_what_would_be_ours() {
        let object = |version: &str, kind: &str| {
            kinds(&format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: a}}}}")).unwrap().concat()
        };
        assert_eq!(object("redis.github.com/v1", "RedisInstance"), "ours redisinstance.redis.github.com/a");
        assert_eq!(object("apps/v1", "Deployment"), "other deployment.apps/a");
        assert_eq!(object("v1", "ConfigMap"), "other configmap/a");
        assert_eq!(
            object("redis.cnrm.cloud.google.com/v1beta1", "RedisInstance"),
            "other redisinstance.redis.cnrm.cloud.google.com/a"
        );
        for (version, kind) in [
            ("redis.github.com/v1beta1", "RedisInstance"),
            ("redis.github.com/v1", "Redisinstance"),
            ("v1", "RedisInstance"),
        ] {
            assert!(object(version, kind).starts_with("no matches for kind"), "{version} {kind}");
        }
    }

    #[test]
    fn lists_are_taken_apart() {
        let ours = "{apiVersion: redis.github.com/v1, kind: RedisInstance, metadata: {name: a}}";
        let list =
            format!("{{apiVersion: v1, kind: List, items: [{ours}, {{apiVersion: v1, kind: List, items: [{ours}]}}]}}");
        assert_eq!(kinds(&list).unwrap(), ["ours redisinstance.redis.github.com/a"; 2]);
        let bare = "{apiVersion: redis.github.com/v1, kind: RedisInstanceList, items: [{metadata: {name: b}}]}";
        assert_eq!(kinds(bare).unwrap(), ["ours redisinstance.redis.github.com/b"]);
        assert_eq!(kinds("{apiVersion: v1, kind: List, items: []}").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_object_is_told() {
        assert!(kinds("[1, 2]").is_err() && kinds("just text").is_err());
        assert!(kinds("{kind: RedisInstance}").unwrap_err().contains("no apiVersion"));
        assert!(kinds("{image: redis}").unwrap_err().contains("no kind"));
    }

    #[test]
    fn a_namespace_left_out_is_no_difference() {
        let identity = |namespace: Option<&str>| Identity {
            namespace: namespace.map(str::to_owned),
            name: "a".to_owned(),
            ..Identity::default()
        };
        assert!(identity(None).matches(&identity(Some("x"))) && identity(Some("x")).matches(&identity(Some("x"))));
        assert!(!identity(Some("x")).matches(&identity(Some("y"))));
    }
}
