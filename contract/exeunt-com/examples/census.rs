//! An exit module as a shared library: counts certificates, and says so on standard error.
//!
//! The tests of this crate load it.

use exeunt_com::{
    ExitClass, ModuleError, ServerExit, SettingInfo, SettingType, Variant,
    abi::{E_INVALIDARG, EXITEVENT_CERTISSUED, EXITEVENT_SHUTDOWN},
};

#[derive(Default)]
struct Census {
    greeting: String,
    count: u64,
}

impl ExitClass for Census {
    fn initialize(&mut self, ca: &str, _server: &ServerExit) -> Result<u32, ModuleError> {
        eprintln!("census: {} {ca}", self.greeting);
        Ok((EXITEVENT_CERTISSUED | EXITEVENT_SHUTDOWN).cast_unsigned())
    }

    fn notify(&mut self, event: u32, server: &ServerExit) -> Result<(), ModuleError> {
        if event.cast_signed() == EXITEVENT_SHUTDOWN {
            eprintln!("census: {} certificates", self.count);
            return Ok(());
        }
        let serial = server.certificate_string("SerialNumber")?;
        let serial = serial.ok_or("there is no serial number")?;
        let mut critical = 0;
        for oid in server.extensions()? {
            let extension = server.extension(&oid?)?;
            critical += extension.map_or(0, |it| it.flags & 1);
        }
        self.count += 1;
        assert!(serial != "dead", "the serial number is dead");
        eprintln!("census: {serial} is number {}, {critical} critical extensions", self.count);
        Ok(())
    }

    fn description(&self) -> String {
        format!("counts certificates: {}", self.count)
    }

    fn settings() -> Vec<SettingInfo> {
        vec![SettingInfo {
            name: "greeting".to_owned(),
            kind: SettingType::String,
            description: "what is said first".to_owned(),
            default: None,
            required: false,
        }]
    }

    fn set(&mut self, name: &str, value: &Variant) -> Result<(), ModuleError> {
        let text = value.as_bstr().ok_or("a text is wanted")?;
        if name != "greeting" {
            return Err(ModuleError::new(E_INVALIDARG, format!("there is no setting {name}")));
        }
        self.greeting = text.to_text_lossy();
        Ok(())
    }
}

exeunt_com::export_exit_module!(
    Census,
    progid = "Census.Exit",
    clsid = "0d2a4b60-6c2f-4f0e-9a51-3f1c77a2b9e4"
);
