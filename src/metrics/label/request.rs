//! Labels of the requests to the API server.

label! {
    /// The kind of object that a request to the API server refers to.
    Kind {
        /// An instance itself.
        RedisInstance => "RedisInstance",
        /// The status of an instance.
        RedisInstanceStatus => "RedisInstance/status",
        /// A ConfigMap.
        ConfigMap => "ConfigMap",
        /// A Secret.
        Secret => "Secret",
        /// A Service.
        Service => "Service",
        /// A StatefulSet.
        StatefulSet => "StatefulSet",
        /// A Pod.
        Pod => "Pod",
        /// A PersistentVolumeClaim.
        PersistentVolumeClaim => "PersistentVolumeClaim",
        /// A `PodDisruptionBudget`.
        PodDisruptionBudget => "PodDisruptionBudget",
        /// An Event.
        Event => "Event",
        /// The Lease that says which operator reconciles.
        Lease => "Lease",
        /// The configuration of the defaulting webhook.
        MutatingWebhookConfiguration => "MutatingWebhookConfiguration",
        /// The configuration of the validating webhook.
        ValidatingWebhookConfiguration => "ValidatingWebhookConfiguration",
        /// Anything that has no name of its own here.
        Other => "other",
    }
}

label! {
    /// The verb of a request to the API server.
    Verb {
        /// Read one object.
        Get => "get",
        /// Read all objects of a kind.
        List => "list",
        /// Watch objects; measured until the response begins.
        Watch => "watch",
        /// Make an object.
        Create => "create",
        /// Server-side apply.
        Apply => "apply",
        /// Any other patch.
        Patch => "patch",
        /// Replace an object.
        Update => "update",
        /// Delete an object, or several.
        Delete => "delete",
    }
}

label! {
    /// The result of a request to the API server.
    Outcome {
        /// It did as it was asked.
        Ok => "ok",
        /// 401.
        Unauthorized => "unauthorized",
        /// 403: permissions, a quota, an admission policy.
        Forbidden => "forbidden",
        /// 404.
        NotFound => "not_found",
        /// 409: the object exists, or is another one by now.
        Conflict => "conflict",
        /// 410: the version that was asked for is too old.
        Expired => "expired",
        /// 429: too many requests.
        Throttled => "throttled",
        /// Any other 4xx: it will never do this.
        Rejected => "rejected",
        /// 5xx.
        ServerError => "server_error",
        /// No response: no connection, a broken connection, or a timeout.
        Unreachable => "unreachable",
    }
}

impl Outcome {
    /// Classifies an HTTP status.
    #[must_use]
    pub const fn of(status: u16) -> Self {
        match status {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            409 => Self::Conflict,
            410 => Self::Expired,
            429 => Self::Throttled,
            400..=499 => Self::Rejected,
            500.. => Self::ServerError,
            _ => Self::Ok,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_class() {
        for (status, outcome) in [
            (200, Outcome::Ok),
            (201, Outcome::Ok),
            (400, Outcome::Rejected),
            (401, Outcome::Unauthorized),
            (403, Outcome::Forbidden),
            (404, Outcome::NotFound),
            (409, Outcome::Conflict),
            (410, Outcome::Expired),
            (422, Outcome::Rejected),
            (429, Outcome::Throttled),
            (500, Outcome::ServerError),
            (503, Outcome::ServerError),
        ] {
            assert_eq!(Outcome::of(status), outcome, "{status}");
        }
    }
}
