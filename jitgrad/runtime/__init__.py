"""What generated code calls at run time."""
