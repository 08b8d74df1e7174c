//! Error messages for names and values of `spec.config` that suggest what was probably meant.

use super::{Rules, fault, names::is_module_option, split};
use crate::domain::{
    directives::{release::Release, suggest::nearest},
    field_error::{FieldError, quoted},
    names::VOUCHED_ANNOTATION,
    owned_directives,
    words::WordError,
};

/// Error for a value of several lines, such as a YAML block; suggests the value on one line if that is valid.
pub(super) fn one_line(name: &str, value: &str, rules: &Rules) -> String {
    let joined = value.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let joined = joined.trim();
    let fits = |words: Vec<String>| fault("", name, &words, joined, rules).is_none();
    let cure = if split(joined).is_ok_and(fits) { format!("; write {}", quoted(joined)) } else { String::new() };
    format!("{}{cure}", WordError::Lines)
}

/// Error for a key that cannot be the name of a directive; suggests the correct spelling if there is one.
pub(super) fn misspelt(name: &str, rules: &Rules) -> String {
    let rule = "keys must match '^[a-z][a-z0-9-]{0,63}$'";
    if is_module_option(name) && name.contains('.') {
        return format!("{rule}; name an option of a module in the annotation {VOUCHED_ANNOTATION}");
    }
    let lower = name.trim().to_ascii_lowercase();
    if is_module_option(&lower) && rules.vouches(&lower) && owned_directives::cure(&lower).is_none() {
        return format!("{rule}; did you mean {}?", quoted(&lower));
    }
    let spelt = lower.replace('_', "-");
    let meant = rules.release.directive(&spelt).is_some_and(|_| owned_directives::cure(&spelt).is_none());
    if meant { format!("{rule}; did you mean {}?", quoted(&spelt)) } else { rule.to_owned() }
}

/// A name the release lacks: one of another release, a slip of the fingers, or nothing we know.
pub(super) fn unknown(field: &str, name: &str, release: Release) -> FieldError {
    if let Some(elsewhere) = release.elsewhere(name) {
        return FieldError::invalid(field, name, elsewhere);
    }
    let unknown = format!("unknown directive for {}", release.title());
    let cure = |meant: &str| owned_directives::cure(meant);
    let detail = match nearest(name, release.names()) {
        Some(meant) if cure(meant).is_some() => {
            format!("{unknown}; of \"{meant}\": {}", cure(meant).unwrap_or_default())
        }
        Some(meant) => format!("{unknown}; did you mean \"{meant}\"?"),
        None if release.comes_with_modules() => format!(
            "{unknown}; the modules of the image are not loaded, so their options are not known either; if a fork has it, \
             name it in the annotation {VOUCHED_ANNOTATION}"
        ),
        None => format!("{unknown}; if a module or a fork has it, name it in the annotation {VOUCHED_ANNOTATION}"),
    };
    FieldError::invalid(field, name, detail)
}

#[cfg(test)]
mod tests {
    use crate::domain::config::tests::faults;

    #[test]
    fn an_unknown_name_is_told_what_it_may_have_been() {
        let fault = |name: &str| faults(name, "1").concat();
        assert!(fault("maxmemroy").ends_with("unknown directive for redis 7.2; did you mean \"maxmemory\"?"));
        assert!(fault("hash-seed").contains("a directive of valkey, the image is redis 7.2"), "{}", fault("hash-seed"));
        assert!(fault("banana").contains("redis.github.com/allow-unknown-directives"));
    }

    #[test]
    fn a_block_of_lines_is_told_how_it_is_written_on_one() {
        let detail = |name: &str, value: &str| faults(name, value).concat();
        assert!(detail("save", "900 1\n300 10\n").ends_with("must be on one line; write \"900 1 300 10\""));
        assert!(detail("maxmemory", "1gb\n").ends_with("must be on one line; write \"1gb\""));
        assert!(detail("maxmemory", "1gb\nrequirepass x").ends_with("must be on one line"));
        assert!(
            detail("client-output-buffer-limit", "normal 0 0 0\r\n  replica 1gb 1gb 60\r\n").contains("write \"normal")
        );
    }

    #[test]
    fn a_slip_for_the_operators_own_leads_to_the_field_for_it() {
        assert!(
            faults("requirpass", "hunter2")[0]
                .ends_with("of \"requirepass\": use spec.auth: the password lives in a Secret")
        );
    }
}
