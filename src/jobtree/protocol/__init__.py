"""What goes over the wire, and how it is written: messages, sessions, keys, payloads."""
