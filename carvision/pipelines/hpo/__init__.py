"""A backbone's configuration -> better settings.

``step`` is the search, ``trial`` the training of one of its trials, ``believed_trials`` decides
which finished trials count, and ``report`` shows what was found.
"""
