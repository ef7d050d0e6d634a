"""The index behind `rules.match`: what rows read and ask, what rules are filed under, what is left to check."""
