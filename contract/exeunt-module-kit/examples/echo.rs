//! The smallest module: accepts everything, and does what the attribute `Do` of an event says.
//!
//! The kit's tests run it as a process.

use exeunt_module_kit::{Event, EventMask, ExitModule, Initialize, Outcome, exit_event};

#[derive(Default)]
struct Echo {
    greeting: String,
}

impl ExitModule for Echo {
    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        for (name, value) in &hello.settings {
            match (name.as_str(), value.as_str()) {
                ("greeting", Some(greeting)) => greeting.clone_into(&mut self.greeting),
                ("greeting", None) => return Err("greeting has to be a text".to_owned()),
                _ => return Err(format!("there is no setting {name}")),
            }
        }
        Ok(EventMask(exit_event::ALL))
    }

    fn description(&self) -> String {
        format!("says {:?}", self.greeting)
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        eprintln!("{} {}", self.greeting, event.id);
        match event.request_attribute("Do") {
            Ok("skip") => Outcome::Skip,
            Ok("retry") => {
                Outcome::Retry { after_ms: Some(1500), reason: "as you said".to_owned() }
            }
            Ok("park") => Outcome::Park { reason: "as you said".to_owned() },
            Ok("panic") => panic!("as you said"),
            _ => Outcome::Accept,
        }
    }
}

fn main() -> std::io::Result<()> {
    exeunt_module_kit::serve(Echo::default())
}
