"""The command line: every command is a typed function, so Python, YAML and shell have the same arguments."""
