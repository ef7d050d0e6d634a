"""The steps of the core's and the rules' tables, in the order of their numbers."""
