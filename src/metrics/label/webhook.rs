//! Labels of admission requests, connections and serving certificates.

label! {
    /// The webhook.
    Webhook {
        /// The defaulting one.
        Mutate => "mutate",
        /// The validating one.
        Validate => "validate",
    }
}

label! {
    /// The response of a webhook.
    Verdict {
        /// The object may be stored.
        Allowed => "allowed",
        /// The object has faults.
        Denied => "denied",
        /// The request was not a review; the API server applies the failure policy.
        Malformed => "malformed",
    }
}

label! {
    /// Why an admission request was not handled.
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
    /// The listener.
    Listener {
        /// HTTPS, for the API server.
        Webhook => "webhook",
        /// HTTP, for probes and metrics.
        Admin => "admin",
    }
}

label! {
    /// Why a connection was closed.
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
    /// The result of reading new certificate files.
    Renewal {
        /// They are served.
        Loaded => "loaded",
        /// They cannot serve; what was served before stays.
        Refused => "refused",
    }
}
