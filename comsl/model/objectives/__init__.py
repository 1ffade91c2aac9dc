"""The objectives of method.md, sections 3 and 7. Each returns a sum over tokens or frames."""
