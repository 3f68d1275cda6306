"""Figures for print and page: pure functions of a `Setting`, a matplotlib figure each."""
