//! A policy that can be exchanged while the engine works: the one that is active.

use std::sync::{Arc, PoisonError, RwLock};

use exeunt_engine::{
    ApprovalRule, Asked, Decision, Plan, Policy, Rehearsal, RuleVerdict, TemplateView,
};

/// Whichever policy is active. Clones share it.
#[derive(Clone, Debug)]
pub struct SwitchPolicy(Arc<RwLock<Arc<dyn Policy>>>);

impl SwitchPolicy {
    /// With that policy.
    #[must_use]
    pub fn new(policy: Arc<dyn Policy>) -> Self {
        Self(Arc::new(RwLock::new(policy)))
    }

    /// The active policy. A question that was put to it is answered by it, whatever comes meanwhile.
    #[must_use]
    pub fn active(&self) -> Arc<dyn Policy> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Exchanges the active policy and gives the one before it.
    pub fn exchange(&self, policy: Arc<dyn Policy>) -> Arc<dyn Policy> {
        let mut active = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *active, policy)
    }
}

impl Policy for SwitchPolicy {
    fn decide(&self, asked: &Asked<'_>) -> Decision {
        self.active().decide(asked)
    }

    fn consider(&self, asked: &Asked<'_>) -> Decision {
        self.active().consider(asked)
    }

    fn plan_if_approved(&self, asked: &Asked<'_>) -> Option<Plan> {
        self.active().plan_if_approved(asked)
    }

    fn rehearse(&self, asked: &Asked<'_>) -> Rehearsal {
        self.active().rehearse(asked)
    }

    fn approval_rule(&self, template: Option<&str>) -> ApprovalRule {
        self.active().approval_rule(template)
    }

    fn wants_signatures(&self, template: Option<&str>) -> bool {
        self.active().wants_signatures(template)
    }

    fn templates(&self) -> Vec<TemplateView> {
        self.active().templates()
    }

    fn explain(&self, asked: &Asked<'_>) -> Vec<RuleVerdict> {
        self.active().explain(asked)
    }
}
