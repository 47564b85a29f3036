"""From words to better models: what is heard, what is learned of it, and whether that is taken up."""
