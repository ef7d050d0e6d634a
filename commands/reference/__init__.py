"""The reference pages, each made from the part of the program that it describes."""
