"""Match a file's tensors with a schema, infer the config, and rename to canonical names and back."""
