"""The stable codes of every diagnostic and error, one file a family; ``table`` joins them."""
