//! The values that labels can have: each label is an enumeration, so the number of series is bounded by this file.
//! docs/metrics.md explains every one.

macro_rules! label {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $variant:ident => $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$meaning])* $variant,)+ }

        impl $name {
            /// Every value the label can have.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The value as it is shown.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

label! {
    /// What a request to the API server is about.
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
        /// Where the API server finds the defaulting webhook.
        MutatingWebhookConfiguration => "MutatingWebhookConfiguration",
        /// Where the API server finds the validating webhook.
        ValidatingWebhookConfiguration => "ValidatingWebhookConfiguration",
        /// Anything that has no name of its own here.
        Other => "other",
    }
}

label! {
    /// What a request asks the API server to do.
    Verb {
        /// Read one object.
        Get => "get",
        /// Read all objects of a kind.
        List => "list",
        /// Be told of changes; measured until the answer begins.
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
    /// Why the role of the primary of a replicated instance moved.
    RoleChange {
        /// The instance began.
        Election => "election",
        /// The primary died.
        Failover => "failover",
        /// It was handed over while its holder was well.
        Handover => "handover",
        /// Every server was restarted.
        Restart => "restart",
        /// A person asked for it.
        Asked => "asked",
    }
}

label! {
    /// How the API server answered a request.
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
        /// No answer: no connection, a broken one, or given up.
        Unreachable => "unreachable",
    }
}

impl Outcome {
    /// What an HTTP status says.
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

label! {
    /// Why a reconcile failed.
    Failure {
        /// The API server does not know who the operator is.
        Unauthorized => "unauthorized",
        /// The API server refused: permissions, a quota, an admission policy.
        Forbidden => "forbidden",
        /// The object, or its kind, is not there.
        NotFound => "not_found",
        /// Somebody else was faster.
        Conflict => "conflict",
        /// The version that was asked for is too old.
        Expired => "expired",
        /// The API server has too much to do.
        Throttled => "throttled",
        /// The API server will never do this.
        Rejected => "rejected",
        /// The API server failed.
        ServerError => "server_error",
        /// The API server gave no answer that can be read.
        Unreachable => "unreachable",
        /// The reconcile took too long.
        Deadline => "deadline",
        /// A panic, which is a defect of the operator.
        Panic => "panic",
        /// Another defect, or a system without random bytes.
        Internal => "internal",
    }
}

impl Failure {
    /// The failure that an unwelcome answer is. `Ok` is none, and whoever takes it for one has a defect.
    #[must_use]
    pub const fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ok => Self::Internal,
            Outcome::Unauthorized => Self::Unauthorized,
            Outcome::Forbidden => Self::Forbidden,
            Outcome::NotFound => Self::NotFound,
            Outcome::Conflict => Self::Conflict,
            Outcome::Expired => Self::Expired,
            Outcome::Throttled => Self::Throttled,
            Outcome::Rejected => Self::Rejected,
            Outcome::ServerError => Self::ServerError,
            Outcome::Unreachable => Self::Unreachable,
        }
    }
}

label! {
    /// How a reconcile ended.
    Reconciled {
        /// It came to its end, whatever it found.
        Ok => "ok",
        /// It failed and is tried again.
        Error => "error",
    }
}

label! {
    /// What became of a change that Redis was to take without a restart, on one pod.
    LiveConfig {
        /// Redis has it: it was asked and answered so.
        Applied => "applied",
        /// Redis refused a value.
        Refused => "refused",
        /// Redis took it and answers with another value.
        Unproved => "unproved",
        /// Redis could not be asked.
        Unreachable => "unreachable",
        /// Redis had been given another value by somebody else; it was set back.
        DriftRepaired => "drift_repaired",
    }
}

label! {
    /// Which webhook.
    Webhook {
        /// The defaulting one.
        Mutate => "mutate",
        /// The validating one.
        Validate => "validate",
    }
}

label! {
    /// What a webhook answered.
    Verdict {
        /// The object may be stored.
        Allowed => "allowed",
        /// The object has faults.
        Denied => "denied",
        /// What came was no review; the API server applies the failure policy.
        Malformed => "malformed",
    }
}

label! {
    /// Why an admission request got no review.
    RequestRefusal {
        /// Too many at once (429).
        Busy => "busy",
        /// The body is too large (413).
        TooLarge => "too_large",
        /// The body came too slowly (408).
        TooSlow => "too_slow",
        /// The body ended early (400).
        Broken => "broken",
        /// The answer took too long (504).
        Timeout => "timeout",
        /// A panic, which is a defect of the operator (500).
        Panic => "panic",
    }
}

label! {
    /// Which listener.
    Listener {
        /// HTTPS, for the API server.
        Webhook => "webhook",
        /// HTTP, for probes and metrics.
        Admin => "admin",
    }
}

label! {
    /// Why a connection was not taken.
    ConnectionRefusal {
        /// Too many are being answered.
        Full => "full",
        /// It kept us waiting while a newer one needed its place.
        Displaced => "displaced",
        /// No TLS came about: usually a `caBundle` that does not fit the certificate.
        Handshake => "handshake",
        /// The system gave none: usually too many open files.
        Accept => "accept",
    }
}

label! {
    /// What became of certificate files.
    Renewal {
        /// They are served.
        Loaded => "loaded",
        /// They cannot serve; what was served before stays.
        Refused => "refused",
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

    #[test]
    fn a_failure_is_called_what_the_answer_is_called() {
        for outcome in Outcome::ALL.iter().filter(|outcome| **outcome != Outcome::Ok) {
            assert_eq!(Failure::of(*outcome).word(), outcome.word());
        }
    }
}
