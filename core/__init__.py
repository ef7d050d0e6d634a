"""Words and services that all rooms share; knows no rule and no HTML."""
