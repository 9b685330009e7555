//! What somebody may do: the original's access rights of a CA, with its numbers.

use std::fmt;
use std::ops::BitOr;

/// A set of access rights. Four of them are roles, which administer the CA; two are for everybody else.
///
/// The numbers are the original's `CA_ACCESS_*` (certadm.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Roles(u16);

impl Roles {
    /// May do nothing.
    pub const NONE: Self = Self(0);
    /// CA administrator: configures the CA and its modules, renews its certificate.
    pub const ADMINISTRATOR: Self = Self(0x1);
    /// Certificate manager, an officer: approves, denies, revokes, publishes lists.
    pub const CERTIFICATE_MANAGER: Self = Self(0x2);
    /// Auditor: reads the audit log.
    pub const AUDITOR: Self = Self(0x4);
    /// Backup operator: backs up.
    pub const BACKUP_OPERATOR: Self = Self(0x8);
    /// Reads requests, certificates and lists.
    pub const READER: Self = Self(0x100);
    /// Enrollee: submits requests, and reads what became of its own.
    pub const ENROLLEE: Self = Self(0x200);
    /// All of them.
    pub const ALL: Self = Self(0x30f);
    /// Those of the CA's administration, of which role separation lets a person have one.
    pub const ADMINISTRATION: Self = Self(0xf);

    /// Each single right, with its name in configurations, tables and refusals.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("administrator", Self::ADMINISTRATOR),
        ("certificate-manager", Self::CERTIFICATE_MANAGER),
        ("auditor", Self::AUDITOR),
        ("backup-operator", Self::BACKUP_OPERATOR),
        ("reader", Self::READER),
        ("enrollee", Self::ENROLLEE),
    ];

    /// The right of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find_map(|(it, right)| (it == name).then_some(right))
    }

    /// The original's number.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Whether all of `other` are among these.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether one of `other` is among these.
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Those that are in both sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are in one set or the other; what `|` is, for tables that are constants.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The single rights of the set, in the order of [`Roles::NAMES`].
    pub fn iter(self) -> impl Iterator<Item = (&'static str, Self)> {
        Self::NAMES.into_iter().filter(move |(_, right)| self.contains(*right))
    }
}

impl BitOr for Roles {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

/// The names, with commas; `none` for the empty set.
impl fmt::Display for Roles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE {
            return out.write_str("none");
        }
        for (place, (name, _)) in self.iter().enumerate() {
            if 0 < place {
                out.write_str(",")?;
            }
            out.write_str(name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_all_rights_and_each_is_one_bit() {
        let all = Roles::NAMES.into_iter().fold(Roles::NONE, |all, (_, right)| all | right);
        assert_eq!(all, Roles::ALL);
        for (name, right) in Roles::NAMES {
            assert_eq!(right.bits().count_ones(), 1, "{name}");
            assert_eq!(Roles::from_name(name), Some(right));
            assert_eq!(right.to_string(), name);
        }
        assert_eq!(Roles::from_name("root"), None);
        assert_eq!(Roles::NONE.to_string(), "none");
        assert_eq!((Roles::AUDITOR | Roles::READER).to_string(), "auditor,reader");
    }
}
