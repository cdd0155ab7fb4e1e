"""The commands: they parse options and call the other packages."""
