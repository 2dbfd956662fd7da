"""Photos, from the user's folder to batches on the device; and the submission.

``archive`` unpacks a zip, ``folder`` finds the photos, ``preparation`` builds their manifest,
``photo`` decodes one, and ``loading`` makes batches.
"""
