"""The security toolbox: templates, the engine that interprets them, the registry of tools."""
