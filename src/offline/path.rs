//! The path of a field in an object, in the notation of the API server.

use std::fmt::Write;

use serde_json::Value;

/// Keys and indices from the object's root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Step {
    fn key(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Index(_) => None,
        }
    }
}

impl Path {
    /// The path one key further.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(self.0.iter().cloned().chain([Step::Key(key.to_owned())]).collect())
    }

    /// The path one index further.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(self.0.iter().cloned().chain([Step::Index(index)]).collect())
    }

    /// The keys up to the first index.
    #[must_use]
    pub fn keys(&self) -> Vec<&str> {
        self.0.iter().map_while(Step::key).collect()
    }

    /// As the API server writes it: `spec.resources.claims[0].name`.
    #[must_use]
    pub fn field(&self) -> String {
        let mut field = String::new();
        for step in &self.0 {
            match step {
                Step::Key(key) if field.is_empty() => field.push_str(key),
                Step::Key(key) => drop(write!(field, ".{key}")),
                Step::Index(index) => drop(write!(field, "[{index}]")),
            }
        }
        field
    }

    /// The value at this path.
    #[must_use]
    pub fn find<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(root, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_has_a_name_and_leads_somewhere() {
        let path = Path::default().key("spec").key("claims").index(1).key("name");
        assert_eq!((path.field().as_str(), path.keys()), ("spec.claims[1].name", vec!["spec", "claims"]));
        let object = json!({"spec": {"claims": [{}, {"name": "x"}]}});
        assert_eq!((path.find(&object), path.key("y").find(&object)), (Some(&json!("x")), None));
    }
}
