"""Changes of the tables, one file a step, in `versions`; plugins bring folders of their own."""
