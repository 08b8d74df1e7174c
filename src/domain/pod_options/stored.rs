//! Parts of a pod template as the API server stores them, without empty lists: removed empty lists are not differences.
//! An empty selector is kept, because it selects everything.

use k8s_openapi::{
    api::core::v1::{Affinity, NodeSelectorTerm, PodAffinityTerm, TopologySpreadConstraint},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

/// The affinity without empty lists.
pub(super) fn affinity(rules: &Affinity) -> Affinity {
    let mut rules = rules.clone();
    if let Some(nodes) = &mut rules.node_affinity {
        let required = nodes.required_during_scheduling_ignored_during_execution.iter_mut();
        required.flat_map(|required| &mut required.node_selector_terms).for_each(term);
        let preferred = nodes.preferred_during_scheduling_ignored_during_execution.iter_mut().flatten();
        preferred.for_each(|preferred| term(&mut preferred.preference));
        drop_empty(&mut nodes.preferred_during_scheduling_ignored_during_execution);
    }
    let near = rules.pod_affinity.as_mut().map(|pods| {
        (
            &mut pods.required_during_scheduling_ignored_during_execution,
            &mut pods.preferred_during_scheduling_ignored_during_execution,
        )
    });
    let far = rules.pod_anti_affinity.as_mut().map(|pods| {
        (
            &mut pods.required_during_scheduling_ignored_during_execution,
            &mut pods.preferred_during_scheduling_ignored_during_execution,
        )
    });
    for (required, preferred) in near.into_iter().chain(far) {
        required.iter_mut().flatten().for_each(pod_term);
        preferred.iter_mut().flatten().for_each(|weighted| pod_term(&mut weighted.pod_affinity_term));
        drop_empty(required);
        drop_empty(preferred);
    }
    rules
}

/// The constraints without empty lists.
pub(super) fn constraints(constraints: &[TopologySpreadConstraint]) -> Vec<TopologySpreadConstraint> {
    let mut constraints = constraints.to_vec();
    for constraint in &mut constraints {
        drop_empty(&mut constraint.match_label_keys);
        selector(&mut constraint.label_selector);
    }
    constraints
}

fn term(term: &mut NodeSelectorTerm) {
    let requirements = term.match_expressions.iter_mut().chain(&mut term.match_fields).flatten();
    requirements.for_each(|requirement| drop_empty(&mut requirement.values));
    drop_empty(&mut term.match_expressions);
    drop_empty(&mut term.match_fields);
}

fn pod_term(term: &mut PodAffinityTerm) {
    selector(&mut term.label_selector);
    selector(&mut term.namespace_selector);
    for list in [&mut term.namespaces, &mut term.match_label_keys, &mut term.mismatch_label_keys] {
        drop_empty(list);
    }
}

fn selector(selector: &mut Option<LabelSelector>) {
    let Some(selector) = selector else { return };
    let requirements = selector.match_expressions.iter_mut().flatten();
    requirements.for_each(|requirement| drop_empty(&mut requirement.values));
    drop_empty(&mut selector.match_expressions);
    if selector.match_labels.as_ref().is_some_and(std::collections::BTreeMap::is_empty) {
        selector.match_labels = None;
    }
}

fn drop_empty<T>(list: &mut Option<Vec<T>>) {
    if list.as_ref().is_some_and(Vec::is_empty) {
        *list = None;
    }
}
