"""Imports: files of customers, products, prices, stock and orders, taken into the shop row by row."""
