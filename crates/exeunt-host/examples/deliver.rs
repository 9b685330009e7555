//! How many events a second one module process takes, window by window.
//!
//! Start it without arguments. It runs itself again as the module, which reads each call with the
//! contract's own parser and accepts it; so both ends of the conversation are paid for.

use std::{
    env,
    io::{self, BufRead, Write},
    time::Instant,
};

use exeunt_host::{HostLimits, ModuleCommand, ModuleProcess};
use exeunt_module::{
    Call, Event, Initialize, Initialized, Outcome, PROTOCOL_VERSION, Properties, Response, Value,
    line,
};

/// Events of one measurement.
const EVENTS: usize = 50_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if env::args().nth(1).as_deref() == Some("module") {
        return module();
    }
    let command = ModuleCommand {
        program: env::current_exe()?,
        args: vec!["module".into()],
        env: Vec::new(),
        working_directory: env::temp_dir(),
        confine: None,
    };
    for window in [1, 16, 256] {
        let hello = Initialize { protocol: PROTOCOL_VERSION, window, ..Initialize::default() };
        let mut process = ModuleProcess::start(&command, &HostLimits::default(), &hello)?;
        let events: Vec<Event> = (1..=u64::from(window)).map(event).collect();
        let mut line_bytes = Vec::new();
        line::write_notify(&mut line_bytes, 1, &events[0])?;
        let batches = (EVENTS / events.len()).max(1);
        let start = Instant::now();
        for _ in 0..batches {
            let report = process.deliver(&events);
            if let Some(fault) = report.fault {
                return Err(fault.into());
            }
        }
        let elapsed = start.elapsed();
        let rate = (batches * events.len()) as u128 * 1_000_000 / elapsed.as_micros().max(1);
        println!("window {window:3}: {rate} events/s, {} octets each", line_bytes.len());
        process.stop();
    }
    Ok(())
}

/// An event of an ordinary size: a request and a certificate of 1000 octets each.
fn event(seq: u64) -> Event {
    let mut request = Properties::default();
    request.push("RequestID", Value::Long(i32::try_from(seq).unwrap_or(i32::MAX)));
    request.push("RawRequest", Value::Binary(vec![0x30; 1000]));
    let mut certificate = Properties::default();
    certificate.push("RawCertificate", Value::Binary(vec![0x30; 1000]));
    for index in 0..20 {
        certificate
            .push(format!("Subject.{index}"), Value::String("some name or other".to_owned()));
    }
    Event {
        id: format!("store-{seq}"),
        seq,
        event: 1,
        subject: format!("request:{seq}"),
        request,
        certificate,
        ..Event::default()
    }
}

fn module() -> Result<(), Box<dyn std::error::Error>> {
    let mut stdin = io::BufReader::with_capacity(64 << 10, io::stdin().lock());
    let mut stdout = io::stdout().lock();
    let mut call = Vec::new();
    let mut answers = Vec::new();
    while stdin.read_until(b'\n', &mut call)? != 0 {
        let request = line::parse_request(&call)?;
        let id = request.id;
        match request.call {
            Call::Initialize(hello) => {
                let Initialize { protocol, window, .. } = hello;
                let initialized =
                    Initialized { protocol, features: Vec::new(), event_mask: 1, window };
                line::write_initialized(&mut answers, id, &initialized)?;
            }
            Call::Notify(_) => line::write_outcome(&mut answers, id, &Outcome::Accept)?,
            Call::GetDescription | Call::Shutdown => {
                let answer = Response { id: Some(id), answer: Ok("throughput".into()) };
                line::write_response(&mut answers, &answer)?;
            }
            _ => return Err("nobody here manages anything".into()),
        }
        // Answers go out together while more calls are waiting.
        if stdin.buffer().is_empty() {
            stdout.write_all(&answers)?;
            stdout.flush()?;
            answers.clear();
        }
        call.clear();
    }
    Ok(())
}
