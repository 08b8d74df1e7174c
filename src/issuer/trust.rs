//! Maintains the caBundle in the two webhook configurations, and creates the configurations again if they were deleted.
//! Independent of how certificates are created.

use futures::{Stream, StreamExt, stream};
use k8s_openapi::{
    ByteString,
    api::{admissionregistration::v1 as admission, rbac::v1::ClusterRole},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::ObjectMeta,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde_json::{Value, json};

use super::IssuerError;
use crate::{
    build::webhooks::{Webhooks, mutating, validating},
    domain::names::OPERATOR,
};

/// Annotation that makes cert-manager's injector write the caBundle.
const INJECTED: &str = "cert-manager.io/inject-ca-from";

/// Seconds after which the API server closes a watch, so that it is opened again before the client considers it dead.
const TIMEOUT: u32 = 60;

/// The two configurations as the watches last showed them.
pub(super) struct Trust {
    client: Client,
    webhooks: Webhooks,
    configurations: [Configuration; 2],
}

struct Configuration {
    kind: ApiResource,
    /// The object seen so far in the list in progress.
    listing: Option<DynamicObject>,
    /// Whether `shown` is the whole truth, as after the first list.
    known: bool,
    shown: Option<DynamicObject>,
    /// The last that had webhooks: what is put back is as its owner had it.
    last: Option<DynamicObject>,
}

/// The index of the configuration, and an event of its watch.
pub(super) type Shown = (usize, watcher::Result<Event<DynamicObject>>);

impl Trust {
    pub(super) fn new(client: Client, webhooks: Webhooks) -> Self {
        let configuration = |kind| Configuration { kind, listing: None, known: false, shown: None, last: None };
        let kinds = [
            ApiResource::erase::<admission::MutatingWebhookConfiguration>(&()),
            ApiResource::erase::<admission::ValidatingWebhookConfiguration>(&()),
        ];
        Self { client, webhooks, configurations: kinds.map(configuration) }
    }

    /// Watches the two configurations by name; no other objects are read.
    pub(super) fn watch(&self) -> impl Stream<Item = Shown> + Send + use<> {
        let named =
            watcher::Config::default().timeout(TIMEOUT).fields(&format!("metadata.name={}", self.webhooks.name));
        let watches = self.configurations.iter().enumerate().map(|(index, configuration)| {
            let events = watcher(self.api(configuration), named.clone()).default_backoff();
            events.map(move |event| (index, event)).boxed()
        });
        stream::select_all(watches.collect::<Vec<_>>())
    }

    /// Processes an event of a watch.
    pub(super) fn see(&mut self, (index, event): Shown) {
        let Some(configuration) = self.configurations.get_mut(index) else { return };
        match event {
            Ok(Event::Init) => configuration.listing = None,
            Ok(Event::InitApply(object)) => configuration.listing = Some(object),
            Ok(Event::InitDone) => {
                let listed = configuration.listing.take();
                configuration.show(listed);
            }
            Ok(Event::Apply(object)) => configuration.show(Some(object)),
            Ok(Event::Delete(_)) => configuration.show(None),
            Err(error) => {
                tracing::warn!(kind = configuration.kind.kind, %error, "the watch was interrupted; it is opened again");
            }
        }
    }

    /// Whether both have been listed.
    pub(super) fn is_known(&self) -> bool {
        self.configurations.iter().all(|configuration| configuration.known)
    }

    /// All certificates that the API server trusts at present, in PEM.
    pub(super) fn present(&self) -> String {
        let objects = self.configurations.iter().filter_map(|configuration| configuration.shown.as_ref());
        let bundles = objects.flat_map(|object| webhooks(object).iter().filter_map(ca_bundle));
        let bytes = bundles.filter_map(|coded| serde_json::from_value::<ByteString>(coded.clone()).ok());
        bytes.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned() + "\n").collect()
    }

    /// Makes both configurations trust these certificates (PEM) and no others.
    ///
    /// # Errors
    /// If the API server refuses or does not respond, or if another controller is to write the caBundle.
    pub(super) async fn ensure(&mut self, trusted: &str) -> Result<(), IssuerError> {
        let coded = serde_json::to_value(ByteString(trusted.as_bytes().to_vec())).map_err(IssuerError::Json)?;
        for index in 0..self.configurations.len() {
            let Some(configuration) = self.configurations.get(index) else { continue };
            let shown = configuration.shown.clone();
            let written = match shown {
                Some(object) if object.annotations().contains_key(INJECTED) => {
                    let name = format!("{} {}", configuration.kind.kind, object.name_any());
                    return Err(IssuerError::Foreign(name));
                }
                // A configuration without webhooks has no effect, as if it did not exist.
                Some(object) if webhooks(&object).is_empty() => self.refill(configuration, &object, &coded).await?,
                Some(object) if webhooks(&object).iter().all(|webhook| ca_bundle(webhook) == Some(&coded)) => continue,
                Some(object) => self.patch(configuration, &object, &coded).await?,
                None => match self.put_back(configuration, &coded).await? {
                    Some(object) => object,
                    None => continue,
                },
            };
            if let Some(configuration) = self.configurations.get_mut(index) {
                configuration.show(Some(written));
            }
        }
        Ok(())
    }

    async fn patch(
        &self,
        configuration: &Configuration,
        object: &DynamicObject,
        coded: &Value,
    ) -> Result<DynamicObject, IssuerError> {
        let bundle =
            |index| json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": coded});
        let patched = self.change(configuration, object, (0..webhooks(object).len()).map(bundle)).await?;
        let kind = &configuration.kind.kind;
        tracing::info!(kind, name = object.name_any(), "put the CA into the webhook configuration");
        Ok(patched)
    }

    /// Restores the webhooks of a configuration from which they were removed.
    async fn refill(
        &self,
        configuration: &Configuration,
        object: &DynamicObject,
        coded: &Value,
    ) -> Result<DynamicObject, IssuerError> {
        let whole = self.whole(configuration, coded)?;
        let webhooks = json!({"op": "add", "path": "/webhooks", "value": webhooks(&whole)});
        let patched = self.change(configuration, object, [webhooks]).await?;
        let kind = &configuration.kind.kind;
        tracing::warn!(kind, name = object.name_any(), "the webhook configuration had no webhook and has it back");
        Ok(patched)
    }

    async fn change(
        &self,
        configuration: &Configuration,
        object: &DynamicObject,
        steps: impl IntoIterator<Item = Value>,
    ) -> Result<DynamicObject, IssuerError> {
        // Fails if the list of webhooks was changed meanwhile.
        let seen = json!({"op": "test", "path": "/metadata/resourceVersion", "value": object.resource_version()});
        let steps: Vec<Value> = [seen].into_iter().chain(steps).collect();
        let patch: json_patch::Patch = serde_json::from_value(steps.into()).map_err(IssuerError::Json)?;
        let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
        let patched = self.api(configuration).patch(&object.name_any(), &params, &Patch::Json::<()>(patch)).await;
        patched.map_err(IssuerError::request("patch", &configuration.kind.kind))
    }

    /// Creates the configuration again. It is owned by the ClusterRole that permits this, so that uninstalling the
    /// operator does not leave a configuration that refers to a missing webhook.
    async fn put_back(
        &self,
        configuration: &Configuration,
        coded: &Value,
    ) -> Result<Option<DynamicObject>, IssuerError> {
        let role = format!("{}-webhooks", self.webhooks.name);
        let kind = &configuration.kind.kind;
        let roles: Api<ClusterRole> = Api::all(self.client.clone());
        let Some(role) = roles.get_opt(&role).await.map_err(IssuerError::request("read", "ClusterRole"))? else {
            tracing::warn!(
                kind,
                role,
                "the webhook configuration is gone and so is its ClusterRole; it is not put back"
            );
            return Ok(None);
        };
        let mut object = self.whole(configuration, coded)?;
        object.metadata = ObjectMeta {
            name: Some(self.webhooks.name.clone()),
            labels: object.metadata.labels.take(),
            annotations: object.metadata.annotations.take(),
            owner_references: role.owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        };
        let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
        let created = match self.api(configuration).create(&params, &object).await {
            // An operator that is restricted to namespaces has no permission to create one; the manifests or the chart
            // restore it.
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                tracing::warn!(
                    kind,
                    name = self.webhooks.name,
                    "the webhook configuration is missing and may not be created by this operator; apply its manifests again"
                );
                return Ok(None);
            }
            created => created.map_err(IssuerError::request("create", kind))?,
        };
        tracing::warn!(kind, name = self.webhooks.name, "the webhook configuration was gone and is put back");
        Ok(Some(created))
    }

    /// The configuration with its webhooks, which trust this CA.
    fn whole(&self, configuration: &Configuration, coded: &Value) -> Result<DynamicObject, IssuerError> {
        let mut object = match &configuration.last {
            Some(last) => last.clone(),
            None => self.built(configuration)?,
        };
        for webhook in object.data.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(client) = webhook.get_mut("clientConfig").and_then(Value::as_object_mut) {
                client.insert("caBundle".to_owned(), coded.clone());
            }
        }
        Ok(object)
    }

    /// The configuration as defined in the code, if none was observed before.
    fn built(&self, configuration: &Configuration) -> Result<DynamicObject, IssuerError> {
        let built = if configuration.kind.kind == admission::MutatingWebhookConfiguration::kind(&()) {
            serde_json::to_value(mutating(&self.webhooks))
        } else {
            serde_json::to_value(validating(&self.webhooks))
        };
        built.and_then(serde_json::from_value).map_err(IssuerError::Json)
    }

    fn api(&self, configuration: &Configuration) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &configuration.kind)
    }
}

impl Configuration {
    fn show(&mut self, object: Option<DynamicObject>) {
        let whole = object.clone().filter(|object| !webhooks(object).is_empty());
        self.last = whole.or_else(|| self.last.take());
        (self.known, self.shown) = (true, object);
    }
}

fn webhooks(object: &DynamicObject) -> &[Value] {
    object.data.get("webhooks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn ca_bundle(webhook: &Value) -> Option<&Value> {
    webhook.get("clientConfig")?.get("caBundle")
}
