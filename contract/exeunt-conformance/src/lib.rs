//! Whether an exit module keeps the contract: one kit for the modules of every tier.
