//! Events that were made lately: ten modules that read one event do not make it ten times.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use exeunt_module::{Event, Properties, Value};
use exeunt_types::EventSeq;

/// Events that are kept. Modules that keep up read the same few hundred; one that lags behind makes
/// its events by itself, as it would without.
const CACHE_EVENTS_MAX: usize = 512;

/// Octets of values that are kept; a usual event has about four thousand.
const CACHE_OCTETS_MAX: usize = 16 * 1024 * 1024;

/// The events, and the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Cache {
    events: HashMap<EventSeq, Arc<Event>>,
    order: VecDeque<(EventSeq, usize)>,
    octets: usize,
}

impl Cache {
    /// The event with that number, if it is still there.
    pub(super) fn event(&self, seq: EventSeq) -> Option<Arc<Event>> {
        self.events.get(&seq).map(Arc::clone)
    }

    /// Keeps an event; the oldest give way.
    pub(super) fn keep(&mut self, event: Arc<Event>) {
        let seq = EventSeq(event.seq);
        let octets = octets(&event);
        if self.events.insert(seq, event).is_some() {
            // Two modules made it at the same time; it has its place.
            return;
        }
        self.order.push_back((seq, octets));
        self.octets += octets;
        while CACHE_EVENTS_MAX < self.order.len() || CACHE_OCTETS_MAX < self.octets {
            let Some((seq, octets)) = self.order.pop_front() else { break };
            self.events.remove(&seq);
            self.octets -= octets;
        }
    }
}

/// Octets of what varies in size.
fn octets(event: &Event) -> usize {
    let of = |properties: &Properties| -> usize {
        let of_value = |value: &Value| match value {
            Value::Long(_) => 0,
            Value::Date(text) | Value::String(text) => text.len(),
            Value::Binary(bytes) => bytes.len(),
        };
        properties.iter().map(|(_, value)| of_value(value)).sum()
    };
    let attributes: usize =
        event.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    let extensions: usize = event.extensions.iter().map(|(_, it)| it.value.len()).sum();
    of(&event.request) + of(&event.certificate) + of(&event.detail) + attributes + extensions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, octets: usize) -> Arc<Event> {
        let request = [("RawName", Value::Binary(vec![0; octets]))].into_iter().collect();
        Arc::new(Event { seq, request, ..Event::default() })
    }

    #[test]
    fn the_oldest_events_give_way_to_number_and_to_size() {
        let mut cache = Cache::default();
        for seq in 1..=600 {
            cache.keep(event(seq, 10));
        }
        assert_eq!((cache.events.len(), cache.octets), (512, 5_120));
        assert!(cache.event(EventSeq(88)).is_none());
        assert!(cache.event(EventSeq(89)).is_some());
        cache.keep(event(600, 10));
        assert_eq!((cache.order.len(), cache.octets), (512, 5_120));
        cache.keep(event(601, CACHE_OCTETS_MAX - 15));
        assert_eq!(cache.events.len(), 2);
        cache.keep(event(602, CACHE_OCTETS_MAX + 1));
        assert_eq!((cache.events.len(), cache.order.len(), cache.octets), (0, 0, 0));
    }
}
