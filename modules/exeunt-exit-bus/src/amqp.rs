//! AMQP 0-9-1, as `RabbitMQ` speaks it: an exchange with a routing key for each event.
//!
//! The parts: `settings` is what the operator says, `socket` is the way to a server, `connection` the
//! conversation on it, `message` is what is sent, `publish` the order of events and their outcomes,
//! `exchange` looks at what has to be there and makes it.
//!
//! Rules that hold whatever is delivered, and how often:
//!
//! - An event is accepted when the server has confirmed it, after a queue has it, and not before.
//! - A message that no queue takes comes back, and its event is tried again.
//! - The server knows no message again: an event that comes twice stands there twice, with one id.

pub mod connection;
pub mod exchange;
pub mod message;
pub mod publish;
pub mod settings;
mod socket;
