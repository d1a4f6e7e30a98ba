"""Commands that turn a run folder into artefacts to serve. The library never imports this package."""
