//! What other operators took under one harness, to stand beside ours. Text, measured once, with how it was measured.

/// Measured in November 2026 on 2 cores beside other work: a fresh control plane a run, 8 clients, webhooks off, pods
/// that become ready without Redis, the audit log as the witness. One pod a resource, each peer built at the commit named.
pub(super) const PEERS: &str = "
  beside it, 1,000 resources of other operators in November 2026 (2 cores, load average 4 to 5, each with its client's own
  rate limit lifted; no figure is of this run):
    operator (commit)                            all exist    delay p99    CPU each   peak RSS   requests each
    OT-CONTAINER-KIT/redis-operator (5dd04e17)     120.6 s      109.9 s       16 ms    134 MiB            10.0
    dragonflydb/dragonfly-operator (b28637d7)       71.8 s       68.3 s       26 ms    102 MiB            10.0
    melancholictheory/wellcake (4bd72793)      801 in 100 s      95.8 s       13 ms    140 MiB             7.5
  a restart over 1,000: OT 4,015 requests, 0 writes, 11.8 CPU s; dragonfly 4,014 requests, 4,000 writes, 5.0 CPU s";
