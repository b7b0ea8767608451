"""What people and machines are told: metrics, events, reports."""
