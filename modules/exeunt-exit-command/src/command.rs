//! The module itself: an event becomes a run of the program, and its end an outcome.

use exeunt_module_kit::{
    Event, EventMask, ExitModule, Facts, Greeted, Initialize, ManageExitModule, Outcome, Value,
    manage,
};
use serde_json::{Map, Value as Json};

use crate::{
    environment,
    run::{Ending, Order, Runner},
    settings::{self, Settings},
};

/// The exit status that parks an event: `EX_DATAERR` of sysexits.h.
pub const STATUS_PARK: i32 = 65;

/// The exit status that says that the target is down, whatever the event: `EX_UNAVAILABLE` of sysexits.h.
pub const STATUS_TARGET_DOWN: i32 = 69;

/// What the module is, in one line.
const DESCRIPTION: &str = "runs a program for each event";

/// What the console shows of it.
const FACTS: Facts =
    Facts { name: "command", description: DESCRIPTION, version: env!("CARGO_PKG_VERSION") };

/// The exit module. It starts its work with the host's greeting.
#[derive(Debug, Default)]
pub struct CommandExit {
    state: Greeted<State>,
}

#[derive(Debug)]
struct State {
    settings: Settings,
    /// Name under which the module is configured.
    module: String,
    runner: Runner,
}

impl ExitModule for CommandExit {
    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        let settings = Settings::from_greeting(hello)?;
        let events = EventMask(settings.events);
        let module = hello.module.clone();
        self.state.set(State { settings, module, runner: Runner::default() });
        Ok(events)
    }

    fn description(&self) -> String {
        DESCRIPTION.to_owned()
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        match self.state.get() {
            Ok(state) => state.notify(event),
            Err(why) => retry(why),
        }
    }

    /// Each event is answered as soon as its program has ended: the deadline is that of one event.
    fn batch_max(&self) -> usize {
        1
    }

    fn managed(&mut self) -> Option<&mut dyn ManageExitModule> {
        Some(self)
    }
}

impl ManageExitModule for CommandExit {
    fn manage_module(&mut self) -> Result<manage::ManageModule, String> {
        Ok(manage::ManageModule { settings: settings::infos() })
    }

    fn property(&mut self, name: &str, _flags: u32) -> Result<Option<Value>, String> {
        Ok(FACTS.property(name))
    }

    fn set_property(&mut self, name: &str, value: &Json) -> Result<(), String> {
        settings::check_one(name, value)
    }

    fn configure(&mut self, settings: &Map<String, Json>, _flags: u32) -> Result<(), String> {
        settings::check_all(settings)
    }
}

impl State {
    fn notify(&self, event: &Event) -> Outcome {
        if event.event & self.settings.events == 0 {
            return Outcome::Skip;
        }
        let environment = match environment::of_event(event, &self.module) {
            Ok(environment) => environment,
            // The event stays what it is: trying again is of no use.
            Err(reason) => return Outcome::Park { reason },
        };
        let mut input = match serde_json::to_vec(event) {
            Ok(input) => input,
            Err(err) => return retry(format!("writing the event as JSON: {err}")),
        };
        input.push(b'\n');
        let finished = self.runner.run(Order {
            program: &self.settings.program,
            extra: &self.settings.environment,
            environment,
            input,
            time: self.settings.timeout,
        });
        let how = match finished.ending {
            Ending::Exited(0) => return Outcome::Accept,
            Ending::Exited(status) => format!("exit status {status}"),
            Ending::Killed(signal) => format!("ended by signal {signal}"),
            Ending::TimedOut => {
                format!("killed after {} ms", self.settings.timeout.as_millis())
            }
            Ending::NotStarted(err) => {
                return retry(format!("starting {}: {err}", self.settings.program[0]));
            }
            Ending::TooManyStuck => {
                return retry("what earlier programs started still holds their pipes".to_owned());
            }
        };
        let reason = match finished.last_line.as_str() {
            "" => format!("the program said nothing ({how})"),
            line => format!("{line} ({how})"),
        };
        match finished.ending {
            Ending::Exited(STATUS_PARK) => Outcome::Park { reason },
            Ending::Exited(STATUS_TARGET_DOWN) => Outcome::TargetDown { after_ms: None, reason },
            _ => retry(reason),
        }
    }
}

fn retry(reason: String) -> Outcome {
    Outcome::Retry { after_ms: None, reason }
}
