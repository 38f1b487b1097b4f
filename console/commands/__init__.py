"""One module a group of commands: read the options, call the operation, show the answer."""
