"""Versions of what decides: made of the files and of what was learned, tried, taken up and taken back."""
