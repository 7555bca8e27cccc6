"""The log: events, their codec, the recorder and the store. Only this package imports `eventsourcing`."""
