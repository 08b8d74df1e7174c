//! A change as kubectl makes it, with the warnings that the API server passes on in the answer's headers.

use kube::core::params::{Patch, PatchParams};
use serde_json::{Value, json};

use super::cluster::Place;

/// Merges into the spec of an instance; answers the warnings, or why it was refused.
pub(crate) async fn changed_with_warnings(place: &Place, name: &str, spec: Value) -> Result<Vec<String>, String> {
    let path = format!("/apis/redis.github.com/v1/namespaces/{}/redisinstances", place.namespace);
    let body = json!({ "spec": spec });
    let request = kube::core::Request::new(path).patch(name, &PatchParams::default(), &Patch::Merge(body)).unwrap();
    let request = request.map(kube::client::Body::from);
    let answer = place.client.send(request).await.map_err(|error| error.to_string())?;
    let warnings = answer.headers().get_all("warning").iter().filter_map(|value| value.to_str().ok());
    // 299 - "text", with quotes in the text escaped.
    let text = |value: &str| value.split_once('"').map(|(_, text)| text.trim_end_matches('"').replace("\\\"", "\""));
    let warnings = warnings.filter_map(text).collect();
    if answer.status().is_success() { Ok(warnings) } else { Err(answer.status().to_string()) }
}
