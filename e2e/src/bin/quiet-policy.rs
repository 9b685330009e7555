//! A policy module for benchmarks: it has everything issued.

use exeunt_module_kit::{
    Initialize, PolicyFailure, PolicyModule, ServerPolicy, Verdict, VerifyRequest, serve_policy,
};

struct Quiet;

impl PolicyModule for Quiet {
    fn initialize(&mut self, _: &Initialize) -> Result<(), String> {
        Ok(())
    }

    fn description(&self) -> String {
        "has everything issued".to_owned()
    }

    fn verify_request(
        &mut self,
        _: &VerifyRequest,
        _: &mut ServerPolicy,
    ) -> Result<Verdict, PolicyFailure> {
        Ok(Verdict::Issue)
    }
}

fn main() -> std::io::Result<()> {
    serve_policy(Quiet)
}
