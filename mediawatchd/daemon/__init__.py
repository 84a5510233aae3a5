"""The daemon as a whole: its parts, what its main thread does while it serves, and how it is."""
