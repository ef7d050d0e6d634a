"""The rules engine: document, conditions, matching, runs, traces, templates, simulation."""
