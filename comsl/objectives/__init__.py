"""The objectives of method.md, section 3. Each returns a sum over tokens or frames."""
