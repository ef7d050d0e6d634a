"""The API's nouns, one a file; `tables.py` joins their routes into one table."""
