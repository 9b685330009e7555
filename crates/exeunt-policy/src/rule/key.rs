//! The smallest keys that a template takes.

use exeunt_types::{KeyAlgorithm, StatusCode};

use super::{Case, Ruling};

/// Whether the key is of an algorithm that is named, and no smaller than the one named.
pub(super) fn minimum(case: &mut Case<'_>) -> Ruling {
    let (minimum, key) = (&case.template.key_minimum, case.asked.request.key());
    if minimum.is_empty() {
        return Ruling::NotApplied("the template takes every key that the CA reads");
    }
    let same: Vec<&KeyAlgorithm> =
        minimum.iter().filter(|it| family(**it) == family(key)).collect();
    let takes = same.iter().any(|it| it.public_key_bits() <= key.public_key_bits());
    if takes {
        return case.pass(|| format!("a key of type {} is large enough", key.name()));
    }
    let names: Vec<String> = minimum.iter().map(|it| it.name()).collect();
    Ruling::refuse(
        "key-below-minimum",
        StatusCode::KEY_LENGTH,
        format!(
            "template {} takes keys from {} on, and not of type {}",
            case.template.name,
            names.join(", "),
            key.name()
        ),
    )
}

/// Keys of one family are compared by their size.
fn family(key: KeyAlgorithm) -> u8 {
    match key {
        KeyAlgorithm::Rsa { .. } => 0,
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521 => 1,
        KeyAlgorithm::Ed25519 => 2,
        KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 | KeyAlgorithm::MlDsa87 => 3,
    }
}
