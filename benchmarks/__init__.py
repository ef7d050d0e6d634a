"""Benchmarks: measured by hand (`./vitrin bench NAME`), never asserted by a timed test."""
