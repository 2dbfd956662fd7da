"""One thin script for each entry point of MLproject.

A script imports its step only when the parameters are known to be valid: that takes seconds.
"""

from carvision.store.begun_runs import note_begun

# Python imports this package before the script, so that this is done before anything slow.
note_begun()
