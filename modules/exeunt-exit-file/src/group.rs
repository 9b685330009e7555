//! Groups by name, as `/etc/group` has them.

use std::fs;

/// Where groups stand.
const GROUPS: &str = "/etc/group";

/// The number of a group: itself, or by its name.
///
/// # Errors
///
/// One line for the operator: there is no such group here.
pub fn number_of(name: &str) -> Result<u32, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let groups =
        fs::read_to_string(GROUPS).map_err(|err| format!("group {name:?}: {GROUPS}: {err}"))?;
    find(&groups, name).ok_or_else(|| format!("group: there is no group {name:?} in {GROUPS}"))
}

/// The third field of the line whose first one is the name.
fn find(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_name_or_number() {
        let groups = "root:x:0:\npki:x:990:ann,bob\nbroken\npki2:x:no:\n";
        assert_eq!(find(groups, "pki"), Some(990));
        for none in ["pk", "broken", "pki2", "x", ""] {
            assert_eq!(find(groups, none), None, "{none}");
        }
        assert_eq!(number_of("990"), Ok(990));
        assert_eq!(number_of("root"), Ok(0));
    }
}
