"""Measures of quality. Depends on the core, never on the page."""
