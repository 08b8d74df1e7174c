//! Which keys of `spec.config` can be names of directives or of module options.

/// The longest name of a directive, in bytes.
const NAME_LIMIT: usize = 64;

/// Whether this could be a directive: the names of every release are lower case, digits and "-" (Redis folds the case,
/// so another spelling would only hide a duplicate). `CPU` lists of 6.2 to 7.2 have an underscore.
pub(super) fn is_name(name: &str) -> bool {
    let shape = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let body = name.strip_suffix("_cpulist").unwrap_or(name);
    name.len() <= NAME_LIMIT && body.starts_with(|c: char| c.is_ascii_lowercase()) && body.chars().all(shape)
}

/// Whether this could be an option of a module, which Redis calls `MODULE.OPTION`.
pub(super) fn is_module_option(name: &str) -> bool {
    let shape = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    name.len() <= NAME_LIMIT && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(shape)
}

#[cfg(test)]
mod tests {
    use crate::domain::config::tests::faults;

    #[test]
    fn names_have_one_spelling() {
        for name in
            ["DIR", "ApPendOnly", "mymodule.opt", "1a", "", "a b", "tcp-keepalive 60\nuser default on nopass ~* +@all"]
        {
            assert!(faults(name, "x")[0].starts_with("spec.config: Invalid value: "), "{name}");
        }
        assert!(faults("server_cpulist", "0-1").is_empty());
        assert!(faults("Maxmemory_Policy", "x")[0].ends_with("did you mean \"maxmemory-policy\"?"));
        assert!(!faults("DIR", "x")[0].contains("mean"), "what is the operator's is not proposed");
    }

    #[test]
    fn an_option_of_a_module_passes_when_it_is_vouched_for() {
        assert!(faults("mymodule.depth", "128").is_empty() && faults("my_module.a-b", "1").is_empty());
        assert!(faults("mymodule.width", "1")[0].contains("name an option of a module in the annotation"));
        assert!(faults("MyModule.Depth", "1")[0].ends_with("did you mean \"mymodule.depth\"?"));
        assert!(faults("mymodule.depth\nport", "1")[0].starts_with("spec.config: Invalid value: "));
    }
}
