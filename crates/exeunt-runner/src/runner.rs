//! The module that the host sees, in front of the library's object.

use std::sync::Arc;

use exeunt_com::Variant;
use exeunt_module::{
    E_UNEXPECTED, Event, Initialize, Outcome, Properties, Value, exit_event,
    manage::ManageModule,
    policy::{Disposition, ROLE, ServerPolicy, VerifyRequest},
};
use exeunt_module_kit::{
    CallBacks, EventMask, ExitModule, ManageExitModule, PolicyFailure, PolicyModule, Verdict,
};
use serde_json::Value as Json;

use crate::{
    Options,
    context::Shared,
    failure::one_line,
    library::{Kind, Loaded, Module, load},
    manage::{Manage, Place},
    policy::Verified,
    server_exit, server_policy,
    settings::{self, MODULE_REGISTRY_LOCATION, registry_location},
    value::variant_of,
};

/// What a module is called that does not say what it is, as the original calls it.
const NO_DESCRIPTION: &str = "unknown";

/// Why nothing can be asked of the library.
const NOT_LOADED: &str = "the library is not loaded";

/// Name of the property of a manage module that lists the settings, as JSON (`exeunt.h`).
const SETTINGS: &str = "Settings";

/// An exit module or a policy module whose work is done by a library.
pub(crate) struct Runner {
    options: Options,
    shared: Arc<Shared>,
    /// Name of the CA, from the greeting.
    config: String,
    /// Whether the class for policy modules is there.
    serves_policy: bool,
    /// `None` before the first call that needs the library.
    loaded: Option<Result<Loaded, String>>,
}

impl Runner {
    pub(crate) fn new(options: Options) -> Self {
        let shared = Arc::new(Shared::default());
        server_exit::register(&shared);
        Self { options, shared, config: String::new(), serves_policy: false, loaded: None }
    }

    /// The library, which is loaded at the first call: as the kind that the greeting asks for, or as
    /// whatever it is where nobody has greeted.
    fn load(&mut self, kind: Option<Kind>) -> Result<&Loaded, String> {
        // Before the library's own code runs, which may want it.
        if kind == Some(Kind::Policy) {
            self.serve_policy();
        }
        let Options { library, class, automation, .. } = &self.options;
        let loaded = self.loaded.get_or_insert_with(|| {
            load(library, class, *automation, kind).map_err(|it| it.to_string())
        });
        if matches!(loaded, Ok(it) if it.module.kind() == Kind::Policy) {
            self.serve_policy();
        }
        match self.loaded.as_ref() {
            Some(Ok(loaded)) => {
                let (class, is) = (&loaded.class, loaded.module.kind());
                match kind {
                    Some(kind) if kind != is => Err(format!(
                        "{class} is no {} module, but a {} one",
                        kind.word(),
                        is.word()
                    )),
                    _ => Ok(loaded),
                }
            }
            Some(Err(reason)) => Err(reason.clone()),
            None => Err(NOT_LOADED.to_owned()),
        }
    }

    /// Offers what a policy module writes to. A library with an exit module never finds it.
    fn serve_policy(&mut self) {
        if !self.serves_policy {
            self.serves_policy = true;
            self.shared.set_policy();
            server_policy::register(&self.shared);
        }
    }

    /// The library's manage module, and what its calls begin with.
    fn manage(&mut self) -> Result<(&Manage, Place), String> {
        let ca = self.options.ca.clone();
        let loaded = self.load(None)?;
        let manage = loaded.manage.as_ref().ok_or("the library has no manage module")?;
        Ok((manage, place(&ca, loaded)))
    }
}

impl ExitModule for Runner {
    fn use_call_backs(&mut self, call_backs: &CallBacks) -> bool {
        self.shared.set_call_backs(call_backs.clone());
        true
    }

    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        let shared = Arc::clone(&self.shared);
        let is_policy = hello.role.as_deref() == Some(ROLE);
        let kind = if is_policy { Kind::Policy } else { Kind::Exit };
        self.config.clone_from(&hello.config);
        let loaded = self.load(Some(kind))?;
        let location = Value::String(registry_location(&hello.config, kind, &loaded.class));
        let own: Properties = settings::properties(&hello.settings)
            .iter()
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .chain([(MODULE_REGISTRY_LOCATION.to_owned(), location)])
            .collect();
        shared.set_own(own);
        if let Some(manage) = &loaded.manage {
            let place = place(&hello.config, loaded);
            for (name, value) in &hello.settings {
                set_property(manage, &place, name, value)?;
            }
        }
        let mask = match &loaded.module {
            Module::Exit(exit) => exit.initialize(&hello.config),
            // It is told of no event.
            Module::Policy(policy) => policy.initialize(&hello.config).map(|()| 0),
        };
        mask.map(|it| EventMask(it.cast_unsigned())).map_err(|it| it.to_string())
    }

    fn description(&self) -> String {
        let Some(Ok(loaded)) = &self.loaded else { return NO_DESCRIPTION.to_owned() };
        let text = loaded.module.description().ok().flatten().unwrap_or_default();
        Some(one_line(&text)).filter(|it| !it.is_empty()).unwrap_or(NO_DESCRIPTION.to_owned())
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        let Some(Ok(Loaded { module: Module::Exit(exit), .. })) = &self.loaded else {
            return Outcome::Retry { after_ms: None, reason: NOT_LOADED.to_owned() };
        };
        let running = self.shared.enter(event);
        if self.options.debug {
            let (id, word, context) = (&event.id, exit_event::word(event.event), running.handle);
            eprintln!("exeunt-runner: debug: Notify({word}) for {id}, context {context}");
        }
        match exit.notify(event.event.cast_signed(), running.handle) {
            Ok(()) => Outcome::Accept,
            Err(failure) => failure.into_outcome(),
        }
    }

    /// Each event is answered before the next begins: a crash then blames the right one.
    fn batch_max(&self) -> usize {
        1
    }

    fn managed(&mut self) -> Option<&mut dyn ManageExitModule> {
        match self.load(None) {
            Ok(loaded) if loaded.manage.is_none() => None,
            // What failed is told by each of the calls.
            Ok(_) | Err(_) => Some(self),
        }
    }

    /// What is asked by the role of the greeting alone must not wait for the library.
    fn policy(&mut self) -> Option<&mut dyn PolicyModule> {
        match &self.loaded {
            Some(Ok(Loaded { module: Module::Exit(_), .. })) => None,
            _ => Some(self),
        }
    }

    fn shutdown(&mut self) {
        if let Some(Ok(Loaded { module: Module::Policy(policy), .. })) = &self.loaded
            && let Err(failure) = policy.shut_down()
        {
            eprintln!("exeunt-runner: warning: {failure}");
        }
        self.loaded = None;
    }
}

impl PolicyModule for Runner {
    fn initialize(&mut self, hello: &Initialize) -> Result<(), String> {
        ExitModule::initialize(self, hello).map(drop)
    }

    fn description(&self) -> String {
        ExitModule::description(self)
    }

    fn verify_request(
        &mut self,
        asked: &VerifyRequest,
        server: &mut ServerPolicy,
    ) -> Result<Verdict, PolicyFailure> {
        let Some(Ok(Loaded { module: Module::Policy(policy), .. })) = &self.loaded else {
            return Err(PolicyFailure::from(NOT_LOADED.to_owned()));
        };
        let running = self.shared.enter_request(&asked.event, server.clone());
        if self.options.debug {
            let (id, context) = (&asked.event.id, running.handle);
            eprintln!("exeunt-runner: debug: VerifyRequest for {id}, context {context}");
        }
        let flags = asked.flags.cast_signed();
        let verified =
            policy.verify_request(&self.config, running.handle, asked.new_request, flags);
        // What was set before a failure counts for nothing: the host sees no ruling.
        if let Some(shaped) = running.into_policy() {
            *server = shaped;
        }
        verdict(
            verified
                .map_err(|it| PolicyFailure::new(it.hresult.cast_unsigned(), it.to_string()))?,
        )
    }
}

/// What a disposition decides.
fn verdict(verified: Verified) -> Result<Verdict, PolicyFailure> {
    let Verified { disposition, text } = verified;
    let or = |default: String| if text.is_empty() { default } else { text };
    match Disposition::from_number(disposition.into()) {
        Some(Disposition::Pend) => Ok(Verdict::Pend(or("taken under submission".to_owned()))),
        Some(Disposition::Issue) => Ok(Verdict::Issue),
        Some(Disposition::Deny) => Ok(Verdict::Deny(or("denied by the policy module".to_owned()))),
        Some(Disposition::DenyWith(hresult)) => {
            let message = or(format!("denied by the policy module with 0x{hresult:08X}"));
            Ok(Verdict::DenyWith { hresult, message })
        }
        // A Win32 code that somebody took for an HRESULT, or memory that nobody wrote.
        None => {
            let text = format!("VerifyRequest gave the disposition {disposition}, which is none");
            Err(PolicyFailure::new(E_UNEXPECTED, text))
        }
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

fn place(ca: &str, loaded: &Loaded) -> Place {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    let storage = registry_location(ca, loaded.module.kind(), &loaded.class);
    Place { config: format!(r"{host}\{ca}"), storage }
}
