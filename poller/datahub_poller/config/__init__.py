"""The action file: its models, how it is loaded and expanded, and DataHub's own spellings of it."""
