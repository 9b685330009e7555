//! The module that the host sees, in front of the library's object.

use std::sync::Arc;

use exeunt_com::Variant;
use exeunt_module::{
    Event, Initialize, Outcome, Properties, Value, exit_event, manage::ManageModule,
};
use exeunt_module_kit::{CallBacks, EventMask, ExitModule, ManageExitModule};
use serde_json::Value as Json;

use crate::{
    Options,
    context::Shared,
    failure::one_line,
    library::{Loaded, load},
    manage::{Manage, Place},
    server_exit,
    settings::{self, MODULE_REGISTRY_LOCATION, registry_location},
    value::variant_of,
};

/// What a module is called that does not say what it is, as the original calls it.
const NO_DESCRIPTION: &str = "unknown";

/// Name of the property of a manage module that lists the settings, as JSON (`exeunt.h`).
const SETTINGS: &str = "Settings";

/// An exit module whose work is done by a library.
pub(crate) struct Runner {
    options: Options,
    shared: Arc<Shared>,
    /// `None` before the first call that needs the library.
    loaded: Option<Result<Loaded, String>>,
}

impl Runner {
    pub(crate) fn new(options: Options) -> Self {
        let shared = Arc::new(Shared::default());
        server_exit::register(&shared);
        Self { options, shared, loaded: None }
    }

    /// The library, which is loaded at the first call.
    fn load(&mut self) -> Result<&Loaded, String> {
        let Options { library, class, automation, .. } = &self.options;
        self.loaded
            .get_or_insert_with(|| load(library, class, *automation).map_err(|it| it.to_string()))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// The library's manage module, and what its calls begin with.
    fn manage(&mut self) -> Result<(&Manage, Place), String> {
        let ca = self.options.ca.clone();
        let loaded = self.load()?;
        let manage = loaded.manage.as_ref().ok_or("the library has no manage module")?;
        Ok((manage, place(&ca, &loaded.class)))
    }
}

impl ExitModule for Runner {
    fn use_call_backs(&mut self, call_backs: &CallBacks) -> bool {
        self.shared.set_call_backs(call_backs.clone());
        true
    }

    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        let shared = Arc::clone(&self.shared);
        let loaded = self.load()?;
        let location = Value::String(registry_location(&hello.config, &loaded.class));
        let own: Properties = settings::properties(&hello.settings)
            .iter()
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .chain([(MODULE_REGISTRY_LOCATION.to_owned(), location)])
            .collect();
        shared.set_own(own);
        if let Some(manage) = &loaded.manage {
            let place = place(&hello.config, &loaded.class);
            for (name, value) in &hello.settings {
                set_property(manage, &place, name, value)?;
            }
        }
        let mask = loaded.exit.initialize(&hello.config).map_err(|it| it.to_string())?;
        Ok(EventMask(mask.cast_unsigned()))
    }

    fn description(&self) -> String {
        let Some(Ok(loaded)) = &self.loaded else { return NO_DESCRIPTION.to_owned() };
        let text = loaded.exit.description().ok().flatten().unwrap_or_default();
        Some(one_line(&text)).filter(|it| !it.is_empty()).unwrap_or(NO_DESCRIPTION.to_owned())
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        let Some(Ok(loaded)) = &self.loaded else {
            let reason = "the library is not loaded".to_owned();
            return Outcome::Retry { after_ms: None, reason };
        };
        let running = self.shared.enter(event);
        if self.options.debug {
            let (id, word, context) = (&event.id, exit_event::word(event.event), running.handle);
            eprintln!("exeunt-runner: debug: Notify({word}) for {id}, context {context}");
        }
        match loaded.exit.notify(event.event.cast_signed(), running.handle) {
            Ok(()) => Outcome::Accept,
            Err(failure) => failure.into_outcome(),
        }
    }

    /// Each event is answered before the next begins: a crash then blames the right one.
    fn batch_max(&self) -> usize {
        1
    }

    fn managed(&mut self) -> Option<&mut dyn ManageExitModule> {
        match self.load() {
            Ok(loaded) if loaded.manage.is_none() => None,
            // What failed is told by each of the calls.
            Ok(_) | Err(_) => Some(self),
        }
    }

    fn shutdown(&mut self) {
        self.loaded = None;
    }
}

impl ManageExitModule for Runner {
    /// The original has no way to list settings; a module may have the property `Settings` of
    /// ours. Of one that does not, the list is empty and says nothing.
    fn manage_module(&mut self) -> Result<ManageModule, String> {
        let (manage, place) = self.manage()?;
        let settings = match manage.property(&place, SETTINGS, 0) {
            Ok(Some(Value::String(json))) if json.starts_with('[') => serde_json::from_str(&json)
                .map_err(|err| {
                format!("the property {SETTINGS} is no list of settings: {err}")
            })?,
            _ => Vec::new(),
        };
        Ok(ManageModule { settings })
    }

    fn property(&mut self, name: &str, flags: u32) -> Result<Option<Value>, String> {
        let (manage, place) = self.manage()?;
        manage.property(&place, name, flags.cast_signed()).map_err(|it| it.to_string())
    }

    fn set_property(&mut self, name: &str, value: &Json) -> Result<(), String> {
        let (manage, place) = self.manage()?;
        set_property(manage, &place, name, value)
    }

    fn configure(
        &mut self,
        settings: &serde_json::Map<String, Json>,
        flags: u32,
    ) -> Result<(), String> {
        let (manage, place) = self.manage()?;
        for (name, value) in settings {
            set_property(manage, &place, name, value)?;
        }
        manage.configure(&place, flags.cast_signed()).map_err(|it| it.to_string())
    }
}

/// Hands one setting to the manage module, in the type that it has in the configuration.
fn set_property(manage: &Manage, place: &Place, name: &str, value: &Json) -> Result<(), String> {
    let variant = match value {
        Json::Bool(it) => Variant::from(*it),
        Json::Number(it) if it.is_f64() => Variant::from(it.as_f64().unwrap_or_default()),
        other => match settings::value_of(other) {
            Some(value) => variant_of(&value).unwrap_or_default(),
            None => Variant::empty(),
        },
    };
    manage
        .set_property(place, name, &variant)
        .map_err(|failure| format!("setting {name}: {failure}"))
}

fn place(ca: &str, class: &str) -> Place {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    Place { config: format!(r"{host}\{ca}"), storage: registry_location(ca, class) }
}
