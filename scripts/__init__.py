"""What writes files of the project that are made from others."""
