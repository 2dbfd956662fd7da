"""Speed and memory against what a user would have done instead, measured in the same run.

Each benchmark has a module of its own, which is imported when that benchmark runs.
"""
