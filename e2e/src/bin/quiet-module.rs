//! An exit module for benchmarks: it does nothing but answer.
//!
//! Setting `answer`: `accept` (the default), `retry`, or `retry-most`, which accepts every tenth
//! event, so that nobody takes its target to be dead while its shelf fills.

use exeunt_module_kit::{Event, EventMask, ExitModule, Initialize, Outcome, exit_event};

#[derive(Clone, Copy, Default)]
enum Answer {
    #[default]
    Accept,
    Retry,
    RetryMost,
}

#[derive(Default)]
struct Quiet(Answer);

impl ExitModule for Quiet {
    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        self.0 = match hello.settings.get("answer").and_then(|it| it.as_str()) {
            None | Some("accept") => Answer::Accept,
            Some("retry") => Answer::Retry,
            Some("retry-most") => Answer::RetryMost,
            Some(other) => return Err(format!("answer: {other:?} is none")),
        };
        Ok(EventMask(exit_event::ALL))
    }

    fn description(&self) -> String {
        "does nothing".to_owned()
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        let accepts = match self.0 {
            Answer::Accept => true,
            Answer::Retry => false,
            Answer::RetryMost => event.seq.is_multiple_of(10),
        };
        if accepts {
            Outcome::Accept
        } else {
            Outcome::Retry { after_ms: None, reason: "the target is away".to_owned() }
        }
    }
}

fn main() -> std::io::Result<()> {
    exeunt_module_kit::serve(Quiet::default())
}
