"""Decompositions of matrices and what is made of them, column by column in float64."""
