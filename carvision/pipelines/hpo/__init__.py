"""The search for better settings of one backbone."""
