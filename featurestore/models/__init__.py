"""Models: load one from code or a file, once in a process, and call it on arrays."""
