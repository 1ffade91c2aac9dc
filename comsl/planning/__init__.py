"""What a training costs, before it runs."""
