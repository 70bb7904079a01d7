//! Everything that can be named in YAML.
