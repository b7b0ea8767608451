"""Speed, measured side by side with what others do on the same machine in the same run."""
