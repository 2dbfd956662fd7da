"""One thin script for each entry point of MLproject."""

from carvision.store.begun_runs import note_begun

# Python imports this package before the script, and so before anything that takes time.
note_begun()
