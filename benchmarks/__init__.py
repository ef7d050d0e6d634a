"""Benchmarks: measured by hand (`./vitrin bench NAME`), never asserted by a timed test.

A bench is a module of its name here with `run(task) -> Iterable[Figure]` (`task` is a `benchmarks.figures.Task`), its
own flags, if any, in `OPTIONS` (click options; `task.options` holds what was given), and a row in
`commands.bench.BENCHES`. It works in `task.settings.home`, a fresh folder that is removed afterwards, tells how far
it is with `task.moved(done, total)`, and gives each figure its spread over repeats and the physical limit: what a
hand-written loop doing the least possible work reaches here and now.
"""
