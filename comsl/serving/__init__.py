"""What people use a model with."""
