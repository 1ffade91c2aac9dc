"""The objectives of docs/how-it-works.md. Each returns a sum over tokens or frames."""
