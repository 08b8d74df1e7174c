//! Metrics of the webhooks: responses, refused requests, and the expiry of the certificate. Independent of the contents
//! of a review.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::Counter, family::Family, gauge::ConstGauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{Histograms, Labels, Renewal, RequestRefusal, Verdict, Webhook, seconds, show};

/// Metrics of the webhooks. Clones share one state.
#[derive(Clone, Debug)]
pub struct WebhookMetrics {
    reviews: Family<Labels<2>, Counter>,
    durations: Histograms<Labels<1>>,
    refusals: Family<Labels<1>, Counter>,
    renewals: Family<Labels<1>, Counter>,
    expiry: Arc<Expiry>,
}

impl WebhookMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            reviews: Family::default(),
            durations: seconds(
                registry,
                "redis_operator_admission_review_duration",
                "Time from a complete admission request to its answer",
                || Histogram::new(BUCKETS),
            ),
            refusals: Family::default(),
            renewals: Family::default(),
            expiry: Arc::default(),
        };
        let reviews = "Admission reviews by verdict";
        registry.register("redis_operator_admission_reviews", reviews, metrics.reviews.clone());
        let refusals = "Admission requests that got no review";
        registry.register("redis_operator_admission_requests_refused", refusals, metrics.refusals.clone());
        let renewals = "Certificate files that were reloaded";
        registry.register("redis_operator_certificate_renewals", renewals, metrics.renewals.clone());
        registry.register_collector(Box::new(Arc::clone(&metrics.expiry)));
        metrics.begin_at_zero();
        metrics
    }

    fn begin_at_zero(&self) {
        for webhook in Webhook::ALL {
            show(&self.durations, &[("webhook", webhook.word())]);
            for verdict in Verdict::ALL {
                show(&self.reviews, &[("webhook", webhook.word()), ("verdict", verdict.word())]);
            }
        }
        for reason in RequestRefusal::ALL {
            show(&self.refusals, &[("reason", reason.word())]);
        }
        for result in Renewal::ALL {
            show(&self.renewals, &[("result", result.word())]);
        }
    }

    /// A review was answered.
    pub fn reviewed(&self, webhook: Webhook, verdict: Verdict, taken: Duration) {
        self.reviews.get_or_create(&[("webhook", webhook.word()), ("verdict", verdict.word())]).inc();
        self.durations.get_or_create(&[("webhook", webhook.word())]).observe(taken.as_secs_f64());
    }

    /// A request got no review.
    pub fn refused(&self, reason: RequestRefusal) {
        self.refusals.get_or_create(&[("reason", reason.word())]).inc();
    }

    /// A certificate is served from now on, which expires at this Unix time.
    pub fn certificate_loaded(&self, expiry: i64) {
        self.expiry.0.store(expiry, Ordering::Relaxed);
        self.renewals.get_or_create(&[("result", Renewal::Loaded.word())]).inc();
    }

    /// New certificate files cannot serve.
    pub fn certificate_refused(&self) {
        self.renewals.get_or_create(&[("result", Renewal::Refused.word())]).inc();
    }
}

/// Expiry of the certificate; 0 stands for none.
#[derive(Debug, Default)]
struct Expiry(AtomicI64);

impl Collector for Expiry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let expiry = self.0.load(Ordering::Relaxed);
        if expiry == 0 {
            return Ok(());
        }
        let (name, unit) = ("redis_operator_certificate_expiry_timestamp", Unit::Seconds);
        let help = "When the served certificate expires, in Unix time; absent while there is none.";
        let gauge = ConstGauge::new(expiry);
        gauge.encode(encoder.encode_descriptor(name, help, Some(&unit), gauge.metric_type())?)
    }
}

const BUCKETS: [f64; 12] =
    [0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 1.0];
